#!/usr/bin/env node
// solc's command line over the npm package `solc`, for tools that want a binary: forge, ape (py-solc-x), slither.
// Answers --version and --standard-json [FILE]. The bytes are those of the native compiler.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const solc = path.join(__dirname, '..', 'node_modules', 'solc');

const WITH_VALUE = new Set(['--base-path', '--include-path', '--allow-paths']);
const FLAGS = new Set(['--standard-json', '--version', '-V', '--help', '-h', '-']);

function parse(argv) {
  const flags = new Set();
  const roots = [];
  const files = [];
  for (let i = 0; i < argv.length; i++) {
    const [name, attached] = argv[i].split(/=(.*)/s);
    if (WITH_VALUE.has(name)) {
      const value = attached ?? argv[++i];
      if (name !== '--allow-paths') roots.push(value);
    } else if (FLAGS.has(name)) flags.add(name);
    else if (name.startsWith('-')) fail(`scripts/solc.cjs does not know ${name}; use --standard-json`);
    else files.push(argv[i]);
  }
  return { flags, roots: roots.length ? roots : ['.'], files };
}

function fail(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}

/// Loading the compiler takes 0.4 s, and forge asks for the version at every start.
function version() {
  const cache = path.join(solc, '.version');
  try {
    return fs.readFileSync(cache, 'utf8');
  } catch {
    const found = require(solc).version();
    try { fs.writeFileSync(cache, found); } catch { /* a read-only install is only slower */ }
    return found;
  }
}

function reader(roots) {
  return (name) => {
    for (const root of roots) {
      try {
        return { contents: fs.readFileSync(path.resolve(root, name.replace(/^file:\/\//, '')), 'utf8') };
      } catch { /* the next root may have it */ }
    }
    return { error: `File not found: ${name}` };
  };
}

/// The native compiler reads `urls` itself; this one has no file system.
function inline(input, read) {
  for (const source of Object.values(input.sources ?? {})) {
    if (source.content !== undefined || !source.urls) continue;
    const found = source.urls.map(read).find((file) => file.contents !== undefined);
    if (found) {
      source.content = found.contents;
      delete source.urls;
    }
  }
  return input;
}

/// `process.stdout.write` may lose the end of a long answer to a pipe when the process exits.
function print(text) {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length;) {
    try {
      written += fs.writeSync(1, bytes, written);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

if (!fs.existsSync(solc)) fail('The compiler is not installed: run `npm ci` (./dev test does).');
const { flags, roots, files } = parse(process.argv.slice(2));

if (flags.has('--version') || flags.has('-V')) {
  print(`solc, the solidity compiler commandline interface\nVersion: ${version()}\n`);
} else if (flags.has('--standard-json')) {
  const read = reader(roots);
  const input = JSON.parse(fs.readFileSync(files[0] ?? 0, 'utf8'));
  print(`${require(solc).compile(JSON.stringify(inline(input, read)), { import: read })}\n`);
} else {
  print('scripts/solc.cjs --version | --standard-json [FILE] [--base-path DIR] [--include-path DIR]…\n');
}

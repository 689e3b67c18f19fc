"""The publisher's tool: from an ONNX file to a program; one file for each family of ONNX ops."""

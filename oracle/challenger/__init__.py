"""The challenger: runs again what others proposed, and takes what is wrong to the slash."""

"""The real outside: processes, files and the network. Nothing above `cli` names it."""

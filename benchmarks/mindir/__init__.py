"""Real models: LeNet and ResNet-50 as MINDIR files, and one copy of MindSpore for all servers."""

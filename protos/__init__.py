"""The contract: .proto files and what protoc makes of them."""

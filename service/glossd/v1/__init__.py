"""Generated protobuf and gRPC stubs of the package glossd.v1; made by `make protos`, never edited."""

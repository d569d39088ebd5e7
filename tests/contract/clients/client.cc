// What gRPC's C++ library makes of a server: client HOST:PORT [CA.pem]
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

using grpc::ByteBuffer;
using grpc::ClientContext;
using grpc::CompletionQueue;
using grpc::Status;

static std::string Text(const ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  buffer.Dump(&slices);
  std::string text;
  for (const auto& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return text;
}

static ByteBuffer Buffer(const std::string& text) {
  grpc::Slice slice(text);
  return ByteBuffer(&slice, 1);
}

static void Wait(CompletionQueue* queue) {
  void* tag = nullptr;
  bool good = false;
  queue->Next(&tag, &good);
}

static void In(ClientContext* context, double seconds) {
  context->set_deadline(std::chrono::system_clock::now() +
                        std::chrono::milliseconds(static_cast<int>(seconds * 1000)));
}

static Status Call(grpc::GenericStub* stub, ClientContext* context, const std::string& method,
                   const std::string& message, std::string* answer) {
  CompletionQueue queue;
  ByteBuffer reply;
  Status status;
  auto call = stub->PrepareUnaryCall(context, "/test.Service/" + method, Buffer(message), &queue);
  call->StartCall();
  call->Finish(&reply, &status, nullptr);
  Wait(&queue);
  if (status.ok()) *answer = Text(reply);
  return status;
}

static std::string Watch(grpc::GenericStub* stub) {
  ClientContext context;
  In(&context, 20);
  CompletionQueue queue;
  auto call = stub->PrepareCall(&context, "/grpc.health.v1.Health/Watch", &queue);
  call->StartCall(nullptr);
  Wait(&queue);
  call->Write(Buffer(""), nullptr);
  Wait(&queue);
  call->WritesDone(nullptr);
  Wait(&queue);
  ByteBuffer reply;
  call->Read(&reply, nullptr);
  Wait(&queue);
  context.TryCancel();
  Status status;
  call->Finish(&status, nullptr);
  Wait(&queue);
  std::string hex;
  for (unsigned char each : Text(reply)) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", each);
    hex += digits;
  }
  return hex;
}

int main(int count, char** arguments) {
  grpc::ChannelArguments options;
  options.SetMaxReceiveMessageSize(64 << 20);
  auto credentials = grpc::InsecureChannelCredentials();
  if (count > 2) {
    std::ifstream file(arguments[2]);
    std::stringstream pem;
    pem << file.rdbuf();
    grpc::SslCredentialsOptions trusted;
    trusted.pem_root_certs = pem.str();
    credentials = grpc::SslCredentials(trusted);
  }
  grpc::GenericStub stub(grpc::CreateCustomChannel(arguments[1], credentials, options));
  std::string answer;
  {
    ClientContext context;
    In(&context, 20);
    Call(&stub, &context, "Echo", "hello", &answer);
    std::cout << "unary: " << answer << "\n";
  }
  {
    ClientContext context;
    In(&context, 20);
    context.AddMetadata("x-request-id", "42");
    context.AddMetadata("x-raw-bin", std::string("\x00\xff", 2));
    Call(&stub, &context, "Metadata", "", &answer);
    std::cout << "metadata: " << answer << "\n";
  }
  {
    ClientContext context;
    In(&context, 20);
    Status status = Call(&stub, &context, "Fail", "", &answer);
    auto name = context.GetServerTrailingMetadata().find("mindserve-error");
    std::cout << "error: " << status.error_code() << " " << status.error_message() << " "
              << std::string(name->second.data(), name->second.size()) << "\n";
  }
  {
    ClientContext context;
    In(&context, 0.3);
    Status status = Call(&stub, &context, "Hang", "", &answer);
    std::cout << "deadline: " << status.error_code() << "\n";
  }
  {
    ClientContext context;
    In(&context, 20);
    std::string large(4 << 20, 7);
    Call(&stub, &context, "Echo", large, &answer);
    std::cout << "large: " << (answer == large ? "true" : "false") << "\n";
  }
  std::cout << "watch: " << Watch(&stub) << "\n";
  bool good = true;
  for (int n = 0; n < 200; n++) {
    ClientContext context;
    In(&context, 20);
    Call(&stub, &context, "Echo", std::to_string(n), &answer);
    good = good && answer == std::to_string(n);
  }
  std::cout << "many: " << (good ? "true" : "false") << "\n";
}

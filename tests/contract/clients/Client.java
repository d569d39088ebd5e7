// What grpc-java makes of a server: java Client HOST:PORT [CA.pem]
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;

public final class Client {
  private static final MethodDescriptor.Marshaller<byte[]> RAW =
      new MethodDescriptor.Marshaller<byte[]>() {
        @Override
        public InputStream stream(byte[] message) {
          return new ByteArrayInputStream(message);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException failure) {
            throw new IllegalStateException(failure);
          }
        }
      };
  private static final byte[] NOTHING = {};

  private static MethodDescriptor<byte[], byte[]> method(String path, MethodDescriptor.MethodType type) {
    return MethodDescriptor.newBuilder(RAW, RAW).setFullMethodName(path).setType(type).build();
  }

  private static byte[] call(Channel channel, String name, byte[] message, long milliseconds) {
    CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(milliseconds, TimeUnit.MILLISECONDS);
    return ClientCalls.blockingUnaryCall(
        channel, method("test.Service/" + name, MethodDescriptor.MethodType.UNARY), options, message);
  }

  private static String hex(byte[] bytes) {
    StringBuilder text = new StringBuilder();
    for (byte each : bytes) {
      text.append(String.format("%02x", each));
    }
    return text.toString();
  }

  public static void main(String[] arguments) throws Exception {
    PrintStream out = new PrintStream(System.out, true, "UTF-8");
    int colon = arguments[0].lastIndexOf(':');
    NettyChannelBuilder builder =
        NettyChannelBuilder.forAddress(
                arguments[0].substring(0, colon), Integer.parseInt(arguments[0].substring(colon + 1)))
            .maxInboundMessageSize(64 << 20);
    if (arguments.length > 1) {
      builder.sslContext(GrpcSslContexts.forClient().trustManager(new File(arguments[1])).build());
    } else {
      builder.usePlaintext();
    }
    ManagedChannel channel = builder.build();
    out.println("unary: " + new String(call(channel, "Echo", "hello".getBytes(), 20000)));
    Metadata about = new Metadata();
    about.put(Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER), "42");
    about.put(
        Metadata.Key.of("x-raw-bin", Metadata.BINARY_BYTE_MARSHALLER), new byte[] {0, (byte) 255});
    Channel described =
        ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(about));
    out.println("metadata: " + new String(call(described, "Metadata", NOTHING, 20000)));
    try {
      call(channel, "Fail", NOTHING, 20000);
    } catch (StatusRuntimeException failure) {
      Status status = failure.getStatus();
      String name =
          failure.getTrailers().get(Metadata.Key.of("mindserve-error", Metadata.ASCII_STRING_MARSHALLER));
      out.println("error: " + status.getCode().value() + " " + status.getDescription() + " " + name);
    }
    try {
      call(channel, "Hang", NOTHING, 300);
    } catch (StatusRuntimeException failure) {
      out.println("deadline: " + failure.getStatus().getCode().value());
    }
    byte[] large = new byte[4 << 20];
    Arrays.fill(large, (byte) 7);
    out.println("large: " + Arrays.equals(large, call(channel, "Echo", large, 20000)));
    out.println(
        "watch: "
            + hex(
                ClientCalls.blockingServerStreamingCall(
                        channel,
                        method(
                            "grpc.health.v1.Health/Watch",
                            MethodDescriptor.MethodType.SERVER_STREAMING),
                        CallOptions.DEFAULT.withDeadlineAfter(20, TimeUnit.SECONDS),
                        NOTHING)
                    .next()));
    boolean good = true;
    for (int n = 0; n < 200; n++) {
      byte[] number = Integer.toString(n).getBytes(StandardCharsets.UTF_8);
      good = good && Arrays.equals(number, call(channel, "Echo", number, 20000));
    }
    out.println("many: " + good);
    channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
  }
}

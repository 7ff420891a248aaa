using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

public sealed class SubmissionBindingTests
{
    private static readonly Marshaller<byte[]> _bytes = Marshallers.Create(bytes => bytes, bytes => bytes);

    [Fact]
    public async Task SubmittedProgram_IsStored_ByteForByte()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        byte[] program = ReverseFields(TestModels.Submit("echo").Program);
        var method = new Method<byte[], SubmitReply>(MethodType.Unary, "ndif.v1.Inference", "Submit", _bytes, Marshallers.Create(
            reply => reply.ToByteArray(), SubmitReply.Parser.ParseFrom));
        CallInvoker invoker = gateway.CreateInvoker(await CreateKeyAsync(gateway));

        await invoker.AsyncUnaryCall(method, null, new CallOptions(cancellationToken: TestGateway.Cancel),
            WrapField(SubmitRequest.ProgramFieldNumber, program));

        Assert.Equal(program, (await LeaseAsync(gateway)).Program.ToArray());
    }

    [Fact]
    public async Task ProgramOfARun_IsStored_ByteForByte()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        byte[] program = ReverseFields(TestModels.Submit("echo").Program);
        var method = new Method<byte[], Event>(MethodType.DuplexStreaming, "ndif.v1.Inference", "Run", _bytes, Marshallers.Create(
            jobEvent => jobEvent.ToByteArray(), Event.Parser.ParseFrom));
        CallInvoker invoker = gateway.CreateInvoker(await CreateKeyAsync(gateway));

        using AsyncDuplexStreamingCall<byte[], Event> run =
            invoker.AsyncDuplexStreamingCall(method, null, new CallOptions(cancellationToken: TestGateway.Cancel));
        await run.RequestStream.WriteAsync(WrapField(RunRequest.SubmitFieldNumber, WrapField(SubmitRequest.ProgramFieldNumber, program)),
            TestGateway.Cancel);
        await run.ResponseStream.MoveNext(TestGateway.Cancel);

        Assert.Equal(program, (await LeaseAsync(gateway)).Program.ToArray());
    }

    /// <summary>Protobuf merges repeated occurrences of a message field, so no single part of the request is the program.</summary>
    [Fact]
    public async Task ProgramInTwoParts_IsMerged()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Program whole = TestModels.Submit("echo").Program, first = whole.Clone(), second = new() { Client = "later" };
        byte[] request =
            [.. WrapField(SubmitRequest.ProgramFieldNumber, first.ToByteArray()),
                .. WrapField(SubmitRequest.ProgramFieldNumber, second.ToByteArray())];
        var method = new Method<byte[], SubmitReply>(MethodType.Unary, "ndif.v1.Inference", "Submit", _bytes, Marshallers.Create(
            reply => reply.ToByteArray(), SubmitReply.Parser.ParseFrom));
        CallInvoker invoker = gateway.CreateInvoker(await CreateKeyAsync(gateway));

        await invoker.AsyncUnaryCall(method, null, new CallOptions(cancellationToken: TestGateway.Cancel), request);

        whole.Client = "later";
        Assert.Equal(whole, Program.Parser.ParseFrom((await LeaseAsync(gateway)).Program.Span));
    }

    private static async Task<string> CreateKeyAsync(TestGateway gateway) => (await gateway.CreateKeyAsync("ada")).Key.Reveal();

    private static async Task<Lease> LeaseAsync(TestGateway gateway) =>
        (await gateway.Backend.Jobs.LeaseAsync("w", [TestGateway.Model], TimeSpan.FromSeconds(20), TestGateway.Cancel))!;

    /// <summary>The same message with its fields in another order, which protobuf allows.</summary>
    private static byte[] ReverseFields(Program program)
    {
        Program head = program.Clone(), tail = program.Clone();
        (head.Version, head.Client, head.Model) = (0, "", null);
        tail.Nodes.Clear();
        tail.Regions.Clear();
        byte[] bytes = [.. head.ToByteArray(), .. tail.ToByteArray()];
        Assert.Equal(program, Program.Parser.ParseFrom(bytes));
        Assert.NotEqual(program.ToByteArray(), bytes);
        return bytes;
    }

    private static byte[] WrapField(int number, byte[] content)
    {
        using var stream = new MemoryStream();
        using (var output = new CodedOutputStream(stream, leaveOpen: true))
        {
            output.WriteTag(number, WireFormat.WireType.LengthDelimited);
            output.WriteBytes(UnsafeByteOperations.UnsafeWrap(content));
        }
        return stream.ToArray();
    }
}

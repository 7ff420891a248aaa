using Google.Protobuf;
using Google.Protobuf.Reflection;
using Ndif.Protocol;
using Ndif.Protocol.Wire;
using Ndif.Tests.Support;

namespace Ndif.Fuzz.Targets;

/// <summary>
/// Every request message of every call, as the gateway decodes it: measured, then parsed. The first byte of an input chooses the message.
/// Decoding must not allocate much more than was measured.
/// </summary>
internal sealed class RequestTarget : IFuzzTarget
{
    private const int Slack = 64 << 10;

    private static readonly MessageDescriptor[] _types =
        [.. new[] { ServiceReflection.Descriptor, AdminReflection.Descriptor }.SelectMany(file => file.Services)
            .SelectMany(service => service.Methods).Select(method => method.InputType).Distinct().OrderBy(type => type.FullName)];

    private readonly WireLimits _limits = new(4 << 20, 100_000);

    public IEnumerable<byte[]> Seeds()
    {
        int submit = Array.IndexOf(_types, SubmitRequest.Descriptor), run = Array.IndexOf(_types, RunRequest.Descriptor);
        for (int seed = 0; seed < 20; seed++)
        {
            var request = new SubmitRequest
            {
                Program = new RandomProgramGenerator(ModelUnderTest.ForPrograms, seed).Next(), JobId = "a", TimeoutSeconds = 1,
            };
            yield return [(byte)submit, .. request.ToByteArray()];
            yield return [(byte)run, .. new RunRequest { Submit = request }.ToByteArray()];
        }
        var list = new DataList { Items = { new Data { Text = "x" }, new Data { Nothing = new Nothing() } } };
        yield return [(byte)run, .. new RunRequest { Local = new LocalReply { Ticket = 1,
            Value = new Data { List = list } } }.ToByteArray()];
        for (int type = 0; type < _types.Length; type++)
        {
            yield return [(byte)type];
            yield return [(byte)type, .. new CreateKeyRequest { Name = "ada", Scopes = { "run" }, Models = { "a", "b" } }.ToByteArray()];
            yield return [(byte)type, .. Enumerable.Repeat<byte[]>([0x0a, 0], 500).SelectMany(bytes => bytes)];
        }
    }

    public void Run(byte[] input)
    {
        if (input.Length == 0) return;
        MessageDescriptor type = _types[input[0] % _types.Length];
        byte[] message = input[1..];
        long measured;
        try
        {
            measured = WireScan.Measure(message, type, _limits);
        }
        catch (NdifException e) when (e.Code is ErrorCode.LimitExceeded or ErrorCode.BadArgument)
        {
            return;
        }
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            type.Parser.ParseFrom(message);
        }
        catch (InvalidProtocolBufferException)
        {
            // The gateway refuses it with BAD_ARGUMENT.
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        if (allocated > (measured * 2) + Slack)
            throw new FindingException($"{type.FullName}: {measured} bytes measured, {allocated} allocated");
    }
}

using System.Diagnostics;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Ndif.Protocol.Wire;

namespace Ndif.Protocol.Tests.Wire;

/// <summary>What a message costs in memory is known before it is decoded.</summary>
public sealed class WireScanTests
{
    private static readonly WireLimits _limits = WireLimits.ForMessagesOf(4 << 20);

    public static TheoryData<string> MessageTypes => [.. GetTypes().Select(type => type.FullName)];

    /// <summary>For each message type of the protocol: empty messages in each of its lists and maps.</summary>
    [Theory]
    [MemberData(nameof(MessageTypes))]
    public void EstimateOfEmptyMessages_IsTrueToAFactorOfThree(string name)
    {
        MessageDescriptor type = GetTypes().First(candidate => candidate.FullName == name);
        foreach (FieldDescriptor field in type.Fields.InFieldNumberOrder().Where(f => f.IsRepeated && f.FieldType is FieldType.Message))
        {
            byte[] element = [.. EncodeTag(field), 0];
            byte[] message = [.. Enumerable.Repeat(element, 4000).SelectMany(bytes => bytes)];
            type.Parser.ParseFrom(message);
            long before = GC.GetAllocatedBytesForCurrentThread();
            IMessage decoded = type.Parser.ParseFrom(message);
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            GC.KeepAlive(decoded);

            long estimate = WireScan.Measure(message, type, _limits);
            Assert.True(estimate >= allocated * 0.6 && (field.IsMap || estimate <= (allocated + 200) * 3),
                $"{name}.{field.Name}: {estimate} estimated, {allocated} allocated");
        }
    }

    [Fact]
    public void EmptyInvokes_AreRefused_InMilliseconds_WithoutAllocation()
    {
        byte[] invokes = [.. Enumerable.Repeat<byte[]>([0x12, 0], 2 << 20).SelectMany(bytes => bytes)]; // Trace.invokes
        var program = new Program { Nodes = { new Node { Trace = Protocol.Messages.Trace.Parser.ParseFrom(invokes) } } };
        byte[] message = program.ToByteArray();
        Refuse();
        double best = Enumerable.Range(0, 20).Min(_ => // the machine may be busy
        {
            long began = Stopwatch.GetTimestamp();
            Refuse();
            return Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        });
        Assert.InRange(best, 0, 200);
        long before = GC.GetAllocatedBytesForCurrentThread();
        NdifException refusal = Refuse();
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 << 10);
        Assert.Equal(ErrorCode.LimitExceeded, refusal.Code);
        Assert.Contains("parts", refusal.Message, StringComparison.Ordinal);

        NdifException Refuse() => Assert.ThrowsAny<NdifException>(() => WireScan.Measure(message, Program.Descriptor, _limits));
    }

    [Fact]
    public void AProgramOfManyOperations_Passes()
    {
        var program = new Program { Version = 1 };
        var region = new Region();
        for (uint i = 0; i < 100_000; i++)
        {
            program.Nodes.Add(new Node
            {
                Line = 1, Call = new Call { Op = "add", Arguments = { new Argument { Node = i }, new Argument { Real = 1.5 } } },
            });
            region.Nodes.Add(i);
        }
        program.Regions.Add(region);
        byte[] message = program.ToByteArray();
        Assert.InRange(message.Length, 1, 4 << 20);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Program.Parser.ParseFrom(message);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.InRange(WireScan.Measure(message, Program.Descriptor, _limits), allocated * 0.6, allocated * 2);
    }

    [Theory]
    [InlineData("0b")] // a group
    [InlineData("0a05")] // longer than the message
    [InlineData("08")] // a number without a value
    [InlineData("00")] // field 0
    [InlineData("08ffffffffffffffffffff01")] // eleven bytes of a varint
    public void BytesThatAreNoMessage_AreRefused(string hex) => Assert.Equal(ErrorCode.BadArgument,
        Assert.ThrowsAny<NdifException>(() => WireScan.Measure(Convert.FromHexString(hex), Program.Descriptor, _limits)).Code);

    /// <summary>The parser copies the program for each further occurrence: two bytes would cost as much as the program.</summary>
    [Fact]
    public void APartOfAOneof_ThatOccursTwice_IsRefused()
    {
        byte[] submit = new RunRequest { Submit = new SubmitRequest { JobId = "a" } }.ToByteArray();
        WireScan.Measure(submit, RunRequest.Descriptor, _limits);
        Assert.Equal(ErrorCode.BadArgument, Assert.ThrowsAny<NdifException>(
            () => WireScan.Measure([.. submit, 0x0a, 0], RunRequest.Descriptor, _limits)).Code);
        byte[] program = new SubmitRequest { Program = new Program { Version = 1 } }.ToByteArray(); // no oneof: merged without a copy
        WireScan.Measure([.. program, .. program], SubmitRequest.Descriptor, _limits);
    }

    [Fact]
    public void UnknownFields_Count()
    {
        var message = new MemoryStream();
        using (var output = new CodedOutputStream(message, leaveOpen: true))
            for (int number = 1000; number < 600_000; number++)
            {
                output.WriteTag(number, WireFormat.WireType.Varint);
                output.WriteUInt32(1);
            }
        Assert.Equal(ErrorCode.LimitExceeded,
            Assert.ThrowsAny<NdifException>(() => WireScan.Measure(message.ToArray(), Program.Descriptor, _limits)).Code);
    }

    [Fact]
    public void NestedLists_AreRefused_AtTheDepthOfTheParser()
    {
        Protocol.Data data = new();
        for (int i = 0; i < 60; i++) data = new Protocol.Data { List = new DataList { Items = { data } } };
        Assert.Equal(ErrorCode.BadArgument,
            Assert.ThrowsAny<NdifException>(() => WireScan.Measure(data.ToByteArray(), Protocol.Data.Descriptor, _limits)).Code);
    }

    private static byte[] EncodeTag(FieldDescriptor field)
    {
        var bytes = new MemoryStream();
        using (var output = new CodedOutputStream(bytes, leaveOpen: true))
            output.WriteTag(field.FieldNumber, WireFormat.WireType.LengthDelimited);
        return bytes.ToArray();
    }

    private static IEnumerable<MessageDescriptor> GetTypes() =>
        typeof(Program).Assembly.GetTypes().Where(type => typeof(IMessage).IsAssignableFrom(type) && !type.IsAbstract)
            .Select(type => ((IMessage)Activator.CreateInstance(type)!).Descriptor).Where(type => type.GetOptions()?.MapEntry != true);
}

using System.Net;
using System.Net.Sockets;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Tests.Local;

/// <summary>A program that the service would refuse is refused by the client, before its constants are uploaded.</summary>
public sealed class RemoteValidationTests : IDisposable
{
    private static readonly int[] _tokenIds = [3, 1, 4];

    private static readonly TensorData _large = TensorData.FromArray(new float[ProgramFormat.MaxInlineTensorBytes]);

    private readonly TempFolder _folder = new();
    private readonly TcpListener _service = new(IPAddress.Loopback, 0);

    public RemoteValidationTests()
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        _service.Start();
    }

    public void Dispose()
    {
        _service.Dispose();
        _folder.Dispose();
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("run")]
    [InlineData("submit")]
    [InlineData("estimate")]
    public async Task AnInvalidProgram_IsRefused_BeforeAnythingIsSent(string how)
    {
        using Trace t = Record(out Node multiplication);
        multiplication.Call.Op = "softmx";
        await AssertRefusedAsync(t, how, ErrorCode.UnknownOp);
    }

    [Fact]
    public async Task AModuleThatTheModelLacks_IsRefused_BeforeAnythingIsSent()
    {
        using Trace t = Record(out _);
        t.ToProgram().Nodes.Single(node => node.Read is not null).Read.Site.Module = "model.layers.7";
        await AssertRefusedAsync(t, "run", ErrorCode.UnknownModule);
    }

    [Fact]
    public async Task AValidProgram_IsSent()
    {
        using Trace t = Record(out _);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        Task run = t.RunAsync(stop.Token);
        using TcpClient connection = await _service.AcceptTcpClientAsync(Cancel);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => run);
    }

    private async Task AssertRefusedAsync(Trace trace, string how, ErrorCode code)
    {
        BadProgramException refusal = await Assert.ThrowsAsync<BadProgramException>(() => how switch
        {
            "submit" => trace.SubmitAsync(Cancel),
            "estimate" => trace.EstimateAsync(Cancel),
            _ => trace.RunAsync(Cancel),
        });
        Assert.Equal(code, refusal.Code);
        Assert.Contains("RemoteValidationTests.cs:", refusal.Message, StringComparison.Ordinal);
        Assert.False(_service.Pending());
    }

    /// <summary>A trace with a constant that is too large for the program's message.</summary>
    private Trace Record(out Node multiplication)
    {
        var llm = new LanguageModel(_folder.Path);
        Trace trace = llm.Trace(_tokenIds, Backend.At($"http://{_service.LocalEndpoint}", "key"));
        (llm.Layers[0].Hidden.Sum() * _large).Save();
        multiplication = trace.ToProgram().Nodes.Single(node => node.Call is { Op: "mul" });
        return trace;
    }
}

using Ndif.Activations.Tests.Support;
using Ndif.Server;
using Ndif.Tests.Support.Service;

namespace Ndif.Activations.Tests;

/// <summary>Collections through a service in this process.</summary>
public sealed class RemoteTests : IDisposable
{
    private readonly TempFolder _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task ARemoteCollection_HasTheLocalRows_WaitsForQuotas_AndLeavesNoJobs()
    {
        // with two jobs at once, four in flight are refused again and again
        await using LoopbackService service =
            await LoopbackService.StartAsync(Collected.ModelId, Collected.Cancel, new Tier(JobsInFlight: 2, JobsPerMinute: 1_000_000));
        Backend remote = Backend.At(service.Address.ToString(), service.Key);
        var llm = new LanguageModel(Collected.ModelId, remote: remote);
        string[] texts = Collected.Texts(150);
        var options = new CollectOptions { BatchTokens = 300, BatchesPerJob = 2 };
        double fraction = 0;
        CollectReport report = await llm.CollectAsync(texts, [Collected.Site], _temp.File("remote"), options,
            progress: new OnProgress(progress => fraction = Math.Max(fraction, progress.Fraction)), cancellationToken: Collected.Cancel);
        Assert.InRange(fraction, 0.001, 1);
        Assert.Equal(150, report.Texts);
        await Collected.AssertAreOfModelAsync(
            llm, [.. texts.Select(text => llm.Tokenizer.Encode(text).ToArray())], Collected.ReadRows(_temp.File("remote")));
        Assert.Empty(await Job.ListAsync(remote: remote, cancellationToken: Collected.Cancel));
    }
}

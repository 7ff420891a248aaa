using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>Calls from the worker to the client during a run, and training, through gateway, Redis and worker processes.</summary>
public sealed class LocalCallTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    private const string Prompt = "The Eiffel Tower is in the city of";

    private LanguageModel Model => new("ndif/tiny-landmarks", remote: Cluster.Remote);

    [Fact]
    public async Task TheForwardWaits_ForAFunctionOfThisProcess()
    {
        LanguageModel llm = Model;
        using Trace t = llm.Trace(Prompt);
        TensorData? seen = null;
        Saved before = llm.Layers[1].Hidden.Clone().Save();
        llm.Layers[1].Hidden = t.Local(x => { seen = x; return x * 2f; }, llm.Layers[1].Hidden);
        Saved after = llm.Layers[1].Hidden.Save();
        await t.RunAsync(Cancel);
        Assert.True(seen!.SameAs(before));
        Assert.True((before.Tensor * 2f).SameAs(after));
    }

    [Fact]
    public async Task LargeTensors_GoBothWays()
    {
        LanguageModel llm = Model;
        using Trace t = llm.Trace(Prompt);
        Value large = Op.Arange(1_000_000, dtype: DType.Float32);
        Saved back = t.Local(x => x + 1f, large).Save();
        await t.RunAsync(Cancel);
        Assert.Equal(1_000_000, back.Tensor.Count);
        Assert.Equal(1_000_000f, back.ToArray<float>()[^1]);
    }

    [Fact]
    public async Task AFunctionThatThrows_EndsTheJob_WithItsOwnException()
    {
        LanguageModel llm = Model;
        using Trace t = llm.Trace(Prompt);
        t.Local(_ => throw new InvalidTimeZoneException("mine"), llm.Layers[0].Hidden);
        Assert.Equal("mine", (await Assert.ThrowsAsync<InvalidTimeZoneException>(() => t.RunAsync(Cancel))).Message);
    }

    [Fact]
    public async Task AFunctionThatTakesTooLong_IsAnError_AndTheWorkerIsFree()
    {
        LanguageModel llm = Model;
        using var returned = new ManualResetEventSlim();
        using Trace t = llm.Trace(Prompt);
        t.Local(_ => returned.Wait(TimeSpan.FromSeconds(30), Cancel), llm.Layers[0].Hidden, timeout: TimeSpan.FromMilliseconds(300));
        string? before = (await NewestJobAsync())?.Id;
        Task run = t.RunAsync(Cancel);
        await Poll.UntilAsync(NewestJobAsync, job => job?.State is JobState.Failed && job.Id != before);
        returned.Set();
        NdifException e = await Assert.ThrowsAsync<NdifException>(() => run);
        Assert.Equal(ErrorCode.LocalCallFailed, e.Code);
        Assert.Contains("0.3 s", e.Message, StringComparison.Ordinal);
        Assert.Contains("LocalCallTests.cs", e.Message, StringComparison.Ordinal);

        async Task<JobInfo?> NewestJobAsync() =>
            (await RawClient.ListJobsAsync(new ListJobsRequest { Limit = 1 }, KeyMetadata, cancellationToken: Cancel))
            .Jobs.SingleOrDefault();
    }

    [Fact]
    public async Task AJobThatIsOnlySubmitted_HasNobodyToAsk()
    {
        LanguageModel llm = Model;
        using Trace t = llm.Trace(Prompt);
        t.Local(_ => { }, llm.Layers[0].Hidden);
        Exception e = await Assert.ThrowsAnyAsync<Exception>(() => t.SubmitAsync(Cancel));
        Assert.Equal(ErrorCode.Unsupported, Errors.FromException(e).Code);
    }

    [Fact]
    public async Task Training_GivesTheSameNumbers_ThereAsHere()
    {
        float[] here = await Losses(Backend.Local), there = await Losses(Cluster.Remote);
        Assert.Equal(here, there);
        Assert.True(there[^1] < there[0] / 2);

        static async Task<float[]> Losses(Backend where)
        {
            var llm = new LanguageModel("ndif/tiny-landmarks", remote: where);
            using Session s = llm.Session();
            Value a = s.Parameter(TensorData.Randn([128, 4], seed: 1) * 0.02f), b = s.Parameter(TensorData.Zeros([4, 128]));
            Optimizer adam = s.AdamW([a, b], lr: 3e-2);
            ValueList losses = s.List();
            s.ForEach(Enumerable.Range(0, 10), _ =>
            {
                using Trace t = llm.Trace(Prompt, grad: true);
                llm.Layers[2].Hidden += llm.Layers[2].Hidden.MatMul(a).MatMul(b);
                Value loss = Op.CrossEntropy(llm.LmHead.Output[0, ^1..], llm.Tokenizer.Encode(" Rome").ToArray());
                losses.Append(loss.Detach());
                t.Backward(loss);
                adam.Step();
                adam.ZeroGrad();
            });
            Saved curve = losses.Save();
            await s.RunAsync(Cancel);
            return [.. Enumerable.Range(0, 10).Select(i => ((Saved)curve[i]).Item<float>())];
        }
    }
}

using Ndif.Protocol;
using Ndif.Server;
using Ndif.Tests.Support.Service;

namespace Ndif.Language.Tests;

/// <summary>Traces beyond the limits of a key wait until the service takes them.</summary>
public sealed class QuotaTests : IDisposable
{
    private readonly TimeSpan _maxWait = NdifConfig.MaxWaitForQuota;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => NdifConfig.MaxWaitForQuota = _maxWait;

    [Fact]
    public async Task TracesBeyondTheJobsAtOnce_Wait_WithOneWarning()
    {
        await using LoopbackService service = await LoopbackService.StartAsync(ServiceFixture.Model, Cancel, new Tier(JobsInFlight: 2));
        LanguageModel llm = Connect(service);
        List<string> warnings = [];
        Saved[] logits = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => TraceAsync(llm, warnings, Cancel)));
        Assert.All(logits, saved => Assert.Equal(logits[0].ToArray<float>(), saved.ToArray<float>()));
        Assert.Contains("may have 2 at once", Assert.Single(warnings), StringComparison.Ordinal);

        Job[] jobs = await Task.WhenAll(Enumerable.Range(0, 6).Select(async _ =>
        {
            using Trace t = llm.Trace("Hello");
            llm.Logits.Save("logits");
            return await t.SubmitAsync(Cancel);
        }));
        foreach (Job job in jobs) await job.WaitAsync(Cancel);
        Assert.Equal(6, jobs.Select(job => job.Id).Distinct().Count());
    }

    [Fact]
    public async Task AWait_EndsWithItsToken_AndIsARefusalWhereItIsNotWanted()
    {
        await using LoopbackService service = await LoopbackService.StartAsync(ServiceFixture.Model, Cancel, new Tier(JobsPerMinute: 1));
        LanguageModel llm = Connect(service);
        List<string> warnings = [];
        await TraceAsync(llm, warnings, Cancel);
        Assert.Empty(warnings);

        using var limited = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        limited.CancelAfter(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => TraceAsync(llm, warnings, limited.Token));
        Assert.Contains("1 jobs a minute", Assert.Single(warnings), StringComparison.Ordinal);

        NdifConfig.MaxWaitForQuota = TimeSpan.Zero;
        NdifException refusal = await Assert.ThrowsAnyAsync<NdifException>(() => TraceAsync(llm, warnings, Cancel));
        Assert.Equal(ErrorCode.QuotaExceeded, refusal.Code);
    }

    private static LanguageModel Connect(LoopbackService service) =>
        new(ServiceFixture.Model, remote: Backend.At(service.Address.ToString(), service.Key));

    private static async Task<Saved> TraceAsync(LanguageModel llm, List<string> warnings, CancellationToken cancellationToken)
    {
        using Trace t = llm.Trace("Hello");
        t.OnWarning = warning =>
        {
            lock (warnings) warnings.Add(warning);
        };
        Saved logits = llm.Logits.Save();
        await t.RunAsync(cancellationToken);
        return logits;
    }
}

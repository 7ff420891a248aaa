using System.Diagnostics;
using Ndif.Benchmarks.Harness;
using Ndif.Protocol;
using Ndif.Server;
using Ndif.Tests.Support.Service;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>
/// A loop of 1,056 awaited remote traces under the limits that a key has by default: how many succeed. It takes longer than the minute
/// after which the service takes more jobs of the key, so a quick run leaves it out.
/// </summary>
internal static class AwaitedTraces
{
    private const int Count = 1056;

    public static async Task<IReadOnlyList<Measurement>> Measure(RunSettings settings, CancellationToken cancellationToken)
    {
        if (settings.IsQuick) return [];
        await using LoopbackService service = await LoopbackService.StartAsync("ndif/tiny-landmarks", cancellationToken);
        var llm = new LanguageModel("ndif/tiny-landmarks", remote: Backend.At(service.Address.ToString(), service.Key));
        int succeeded = 0;
        string error = "";
        long from = Stopwatch.GetTimestamp();
        for (int i = 0; i < Count; i++)
        {
            try
            {
                await llm.TraceAsync("Big Ben is in the city of", _ => llm.Logits[.., ^1].ArgMax(-1).Save(),
                    cancellationToken: cancellationToken);
                succeeded++;
            }
            catch (NdifException e)
            {
                error = $"; the last error: {e.Message}";
            }
        }
        return
        [
            new("concurrency.awaited traces", succeeded, "succeeded",
                $"of {Count} in {Stopwatch.GetElapsedTime(from).TotalSeconds:0} s; a key may send {new Tier().JobsPerMinute} jobs a "
                + $"minute{error}", Goal.AtLeast(Count)),
        ];
    }
}

using System.Diagnostics;
using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Tests.Support;
using Estimate = Ndif.Benchmarks.Harness.Estimate;

namespace Ndif.Benchmarks.Groups.Isolation;

/// <summary>
/// Three users who each send one job at a time, in turn a trace and a generation, and pause before the next. The figure is the median time
/// of a job, from its submission to its values, while another client attacks, relative to the same users' median before the attack.
/// </summary>
internal static class AttackedUsers
{
    private const string Prompt = "The Eiffel Tower is in the city of";
    private const int Users = 3, Tokens = 16;
    private const double Limit = 3;

    private static readonly TimeSpan _pause = TimeSpan.FromMilliseconds(200);
    private static readonly string[] _kinds = ["a trace", $"{Tokens} tokens"];

    public static async Task<IReadOnlyList<Measurement>> MeasureAsync(
        Attack attack, RunSettings settings, CancellationToken cancellationToken)
    {
        await using BenchmarkCluster service = await BenchmarkCluster.StartAsync();
        await SendAllAsync(await NewUsersAsync("priority"), TimeSpan.FromSeconds(10), pause: false); // warm-up: code is compiled
        LanguageModel[] users = await NewUsersAsync("standard");
        TimeSpan time = TimeSpan.FromSeconds(settings.IsQuick ? 6 : 20);
        double[][] idle = await SendAllAsync(users, time);
        ChildProcess attacker = await Attacker.StartAsync(service, attack, await service.NewUserAsync("standard"));
        double[][] attacked = await SendAllAsync(users, time);
        attacker.CloseStandardInput();
        string actions = await attacker.WaitForLineAsync(line => line.Contains("actions", StringComparison.Ordinal));

        double[] ratios = [.. idle.Zip(attacked, (before, during) => Estimate.Quantile(during, 0.5) / Estimate.Quantile(before, 0.5))];
        string times = string.Join("; ",
            _kinds.Select((kind, i) => $"{kind} took {Describe(idle[i])} before, {Describe(attacked[i])} during"));
        return [new($"isolation.{attack.Name}", ratios.Max(), "x idle", $"{times}; the attacker: {actions}", new Goal(Limit))];

        async Task<LanguageModel[]> NewUsersAsync(string tier) =>
            await Task.WhenAll(Enumerable.Range(0, Users).Select(async _ => new LanguageModel("ndif/tiny-landmarks",
                remote: Backend.At(service.Address.ToString(), (await service.NewUserAsync(tier)).Key))));

        // By kind of job, the seconds of all users, in ascending order.
        async Task<double[][]> SendAllAsync(LanguageModel[] users, TimeSpan time, bool pause = true)
        {
            List<double>[][] seconds = await Task.WhenAll(users.Select(user => SendAsync(user, time, pause, cancellationToken)));
            return [.. _kinds.Select((_, kind) => seconds.SelectMany(user => user[kind]).Order().ToArray())];
        }
    }

    /// <summary>Sends jobs for a time, at least one of each kind, and returns the seconds of each by kind.</summary>
    private static async Task<List<double>[]> SendAsync(LanguageModel llm, TimeSpan time, bool pause,
        CancellationToken cancellationToken)
    {
        List<double>[] seconds = [[], []];
        long start = Stopwatch.GetTimestamp();
        for (int kind = 0; Stopwatch.GetElapsedTime(start) < time || seconds[^1].Count == 0; kind = 1 - kind)
        {
            if (pause) await Task.Delay(_pause * (0.5 + Random.Shared.NextDouble()), cancellationToken);
            long from = Stopwatch.GetTimestamp();
            using (Trace trace = kind == 0 ? llm.Trace(Prompt) : llm.Generate(Prompt, Tokens, new() { IgnoreEos = true }))
            {
                llm.Layers[^1].Hidden.Save();
                await trace.RunAsync(cancellationToken);
            }
            seconds[kind].Add(Stopwatch.GetElapsedTime(from).TotalSeconds);
        }
        return seconds;
    }

    private static string Describe(double[] seconds) =>
        $"{1e3 * Estimate.Quantile(seconds, 0.5):0} ms (p95 {1e3 * Estimate.Quantile(seconds, 0.95):0})";
}

using CsCheck;
using Ndif.Protocol;
using Ndif.Queue.Tests.Support;

namespace Ndif.Queue.Tests;

/// <summary>For random sequences of operations, both queues publish the same events as the reference implementation.</summary>
public sealed class JobQueuePropertyTests(RedisServer server)
{
    private static readonly string[] _owners = ["ana", "ben", "cleo"];
    private static readonly string[] _models = ["x", "y"];

    /// <summary>An operation, and three numbers that select its arguments.</summary>
    private static readonly Gen<(string Do, int A, int B, int C)> _step = Gen.Select(
        Gen.Frequency(
            (5, "submit"), (4, "take"), (1, "log"), (1, "renew"), (2, "complete"), (1, "fail"), (1, "return"), (2, "cancel"), (1, "lose")),
        Gen.Int[0, 11], Gen.Int[0, 5], Gen.Int[0, 2]);

    [Fact]
    public async Task BothQueues_DoWhatTheModelDoes() => await _step.List[1, 60].SampleAsync(
        async steps =>
        {
            string expected = RunReference(steps);
            await using var memory = new InMemoryJobQueueFixture();
            Assert.Equal(expected, await RunAsync(memory, steps));
            await using var redis = new RedisJobQueueFixture(server);
            Assert.Equal(expected, await RunAsync(redis, steps));
        },
        iter: 200, threads: 1);

    private static string RunReference(List<(string Do, int A, int B, int C)> steps)
    {
        var queue = new ReferenceJobQueue();
        List<string> results = [.. steps.Select(step => step.Do switch
        {
            "submit" => queue.Submit($"j{step.A}", _owners[step.C], _models[step.B % 2], Cost(step.B) / Weight(step.A)),
            "take" => step.B > 3 ? queue.Lease(_models) : queue.Lease(_models[step.B % 2]),
            "log" => queue.Log(step.A),
            "renew" => queue.Renew(step.A),
            "complete" => queue.End(step.A, JobState.Completed),
            "fail" => queue.End(step.A, JobState.Failed),
            "return" => queue.Return(step.A),
            "cancel" => queue.Cancel($"j{step.A}"),
            _ => queue.ExpireLeases(),
        })];
        return string.Join('\n', [.. results, .. queue.Jobs]);
    }

    private static async Task<string> RunAsync(JobQueueFixture fixture, List<(string Do, int A, int B, int C)> steps)
    {
        CancellationToken cancel = TestContext.Current.CancellationToken;
        List<string> results = [], ids = [];
        List<Lease> leases = [];
        foreach ((string what, int a, int b, int c) in steps)
        {
            Lease? lease = leases.Count > 0 ? leases[a % leases.Count] : null;
            results.Add(what switch
            {
                "submit" => await SubmitAsync($"j{a}", _owners[c], _models[b % 2], Weight(a), Cost(b)),
                "take" => await TakeAsync(b > 3 ? _models : [_models[b % 2]]),
                "log" => lease is not null && await fixture.LogAsync(lease, "log") ? "done" : "lost",
                "renew" => lease is not null && await fixture.Queue.RenewAsync(lease, cancel) ? "done" : "lost",
                "complete" => lease is not null && await fixture.PublishAsync(lease, JobState.Completed) ? "done" : "lost",
                "fail" => lease is not null && await fixture.PublishAsync(lease, JobState.Failed) ? "done" : "lost",
                "return" => await ReturnAsync(lease),
                "cancel" => await fixture.Queue.CancelAsync($"j{a}", "", cancel) is { } info ? Format(info) : "none",
                _ => $"{await fixture.ExpireLeasesAsync()}",
            });
        }
        foreach (string id in ids) results.Add($"{Format(await fixture.GetInfoAsync(id))} | {string.Join(", ", await EventsAsync(id))}");
        return string.Join('\n', results);

        async Task<string> SubmitAsync(string id, string owner, string model, double weight, double cost)
        {
            try
            {
                JobInfo info = await fixture.SubmitAsync(id, owner, model, weight, cost);
                if (!ids.Contains(id)) ids.Add(id);
                return Format(info);
            }
            catch (AccessException)
            {
                return "refused";
            }
        }

        async Task<string> TakeAsync(string[] models)
        {
            if (await fixture.Queue.LeaseAsync("w", models, TimeSpan.Zero, cancel) is not { } taken) return "nothing";
            leases.Add(taken);
            return $"{taken.JobId} {taken.Attempt}";
        }

        async Task<string> ReturnAsync(Lease? lease)
        {
            if (lease is not null) await fixture.Queue.ReturnAsync(lease, cancel);
            return "done";
        }

        async Task<List<string>> EventsAsync(string id)
        {
            List<string> events = [];
            ulong last = (await fixture.GetInfoAsync(id)).LastSequence;
            await foreach (Event jobEvent in fixture.Queue.WatchAsync(id, 1, cancel))
            {
                events.Add(jobEvent.State is { } state ? $"{state.State} {state.Position} {state.Attempt}"
                    : jobEvent.Restart is { } restart ? $"restart {restart.Attempt}" : jobEvent.Log.Text);
                Assert.Equal((ulong)events.Count, jobEvent.Sequence);
                if (jobEvent.Sequence == last) break;
            }
            return events;
        }
    }

    // Powers of two, so that virtual time is exact in any order of summation.
    private static double Cost(int number) => 1 << (number % 3);

    private static double Weight(int number) => 1 << (number % 2);

    private static string Format(JobInfo info) => $"{info.Id} {info.State} {info.Position} {info.Attempt} {info.LastSequence}";
}

using CsCheck;
using Ndif.Protocol;

namespace Ndif.Queue.Tests;

/// <summary>Whatever is done in whatever order, both queues say what the model says.</summary>
public sealed class QueueProperties(RedisServer server)
{
    private static readonly string[] Owners = ["ana", "ben", "cleo"];
    private static readonly string[] Models = ["x", "y"];

    /// <summary>What is done, and three numbers to choose with whom.</summary>
    private static readonly Gen<(string Do, int A, int B, int C)> Step = Gen.Select(
        Gen.Frequency((5, "submit"), (4, "take"), (1, "log"), (1, "renew"), (2, "complete"), (1, "fail"), (1, "return"), (2, "cancel"), (1, "lose")),
        Gen.Int[0, 11], Gen.Int[0, 5], Gen.Int[0, 2]);

    [Fact]
    public async Task BothQueues_DoWhatTheModelDoes() => await Step.List[1, 60].SampleAsync(
        async steps =>
        {
            string expected = Play(steps);
            await using var memory = new MemoryRig();
            Assert.Equal(expected, await PlayAsync(memory, steps));
            await using var redis = new RedisRig(server);
            Assert.Equal(expected, await PlayAsync(redis, steps));
        },
        iter: 200, threads: 1);

    private static string Play(List<(string Do, int A, int B, int C)> steps)
    {
        var queue = new QueueModel();
        List<string> said = [.. steps.Select(step => step.Do switch
        {
            "submit" => queue.Submit($"j{step.A}", Owners[step.C], Models[step.B % 2], Cost(step.B) / Weight(step.A)),
            "take" => step.B > 3 ? queue.Take(Models) : queue.Take(Models[step.B % 2]),
            "log" => queue.Log(step.A),
            "renew" => queue.Renew(step.A),
            "complete" => queue.End(step.A, JobState.Completed),
            "fail" => queue.End(step.A, JobState.Failed),
            "return" => queue.Return(step.A),
            "cancel" => queue.Cancel($"j{step.A}"),
            _ => queue.LoseWorkers(),
        })];
        return string.Join('\n', [.. said, .. queue.Jobs]);
    }

    private static async Task<string> PlayAsync(QueueRig rig, List<(string Do, int A, int B, int C)> steps)
    {
        CancellationToken cancel = TestContext.Current.CancellationToken;
        List<string> said = [], ids = [];
        List<Lease> leases = [];
        foreach ((string what, int a, int b, int c) in steps)
        {
            Lease? lease = leases.Count > 0 ? leases[a % leases.Count] : null;
            said.Add(what switch
            {
                "submit" => await SubmitAsync($"j{a}", Owners[c], Models[b % 2], Weight(a), Cost(b)),
                "take" => await TakeAsync(b > 3 ? Models : [Models[b % 2]]),
                "log" => lease is not null && await rig.LogAsync(lease, "log") ? "done" : "lost",
                "renew" => lease is not null && await rig.Queue.RenewAsync(lease, cancel) ? "done" : "lost",
                "complete" => lease is not null && await rig.PublishAsync(lease, JobState.Completed) ? "done" : "lost",
                "fail" => lease is not null && await rig.PublishAsync(lease, JobState.Failed) ? "done" : "lost",
                "return" => await ReturnAsync(lease),
                "cancel" => await rig.Queue.CancelAsync($"j{a}", "", cancel) is { } info ? Say(info) : "none",
                _ => $"{await rig.LoseWorkersAsync()}",
            });
        }
        foreach (string id in ids) said.Add($"{Say(await rig.InfoAsync(id))} | {string.Join(", ", await EventsAsync(id))}");
        return string.Join('\n', said);

        async Task<string> SubmitAsync(string id, string owner, string model, double weight, double cost)
        {
            try
            {
                JobInfo info = await rig.SubmitAsync(id, owner, model, weight, cost);
                if (!ids.Contains(id)) ids.Add(id);
                return Say(info);
            }
            catch (AccessException)
            {
                return "refused";
            }
        }

        async Task<string> TakeAsync(string[] models)
        {
            if (await rig.Queue.LeaseAsync("w", models, TimeSpan.Zero, cancel) is not { } taken) return "nothing";
            leases.Add(taken);
            return $"{taken.JobId} {taken.Attempt}";
        }

        async Task<string> ReturnAsync(Lease? lease)
        {
            if (lease is not null) await rig.Queue.ReturnAsync(lease, cancel);
            return "done";
        }

        async Task<List<string>> EventsAsync(string id)
        {
            List<string> events = [];
            ulong last = (await rig.InfoAsync(id)).LastSequence;
            await foreach (Event happening in rig.Queue.WatchAsync(id, 1, cancel))
            {
                events.Add(happening.State is { } state ? $"{state.State} {state.Position} {state.Attempt}" : happening.Log.Text);
                Assert.Equal((ulong)events.Count, happening.Sequence);
                if (happening.Sequence == last) break;
            }
            return events;
        }
    }

    // Powers of two, so that virtual time is exact however it is summed.
    private static double Cost(int number) => 1 << (number % 3);

    private static double Weight(int number) => 1 << (number % 2);

    private static string Say(JobInfo info) => $"{info.Id} {info.State} {info.Position} {info.Attempt} {info.LastSequence}";
}

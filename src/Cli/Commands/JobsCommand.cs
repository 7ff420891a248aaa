using System.CommandLine;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using Spectre.Console;

namespace Ndif.Cli.Commands;

/// <summary>
/// `ndif jobs [list|show|watch|cancel|kill|delete|dead|requeue]`: the own jobs, and for operators those of all keys and the dead letters.
/// </summary>
internal static class JobsCommand
{
    public static Command Create()
    {
        var host = CommonOptions.Host();
        var key = CommonOptions.Key();
        var json = CommonOptions.Json("The output");
        var limit = new Option<int>("--limit") { Description = "Maximum number of entries, newest first.", DefaultValueFactory = _ => 20 };
        host.Recursive = key.Recursive = json.Recursive = limit.Recursive = true;
        var active = new Option<bool>("--active") { Description = "Only jobs that wait or run." };
        var all = new Option<bool>("--all")
        {
            Description = "The jobs of all keys, with their owners. Requires a key with the scope `operator` or `admin`.",
        };
        var owner = new Option<string?>("--owner")
        {
            Description = "Only the jobs of this key, by its id in `ndif keys list`. Requires the same scopes as --all.",
        };
        var reason = new Option<string?>("--reason") { Description = "For the job of another key: what its owner reads." };
        var id = new Argument<string>("id") { Description = "Id of the job." };

        var command = new Command(
            "jobs", "List, show, watch, cancel or delete your jobs; for operators, those of all keys, and the dead letters.")
        {
            host, key, json, limit, active, all, owner,
        };
        command.SetAction((parsed, cancellationToken) => ListAsync(parsed, parsed.GetValue(active), cancellationToken));

        var list = new Command("list", "List your jobs, or with --all those of all keys, newest first.") { active, all, owner };
        list.SetAction((parsed, cancellationToken) => ListAsync(parsed, parsed.GetValue(active), cancellationToken));

        var show = new Command("show", "Show one of your jobs; with a key of the scope `operator` or `admin` any job.") { id };
        show.SetAction(async (parsed, cancellationToken) => Show(parsed, await OfAnyOwnerAsync(
            async () => await (await AttachAsync(parsed, cancellationToken)).GetAsync(cancellationToken),
            () => AllJobs.GetAsync(parsed.GetValue(id)!, GetBackend(parsed), cancellationToken))));

        var watch = new Command(
            "watch", "Print the events of one of your jobs until it ends, with its queue position while it waits.") { id };
        watch.SetAction(async (parsed, cancellationToken) =>
        {
            JobState lastState = default;
            Job job = await AttachAsync(parsed, cancellationToken);
            await foreach (JobEvent jobEvent in job.Events(cancellationToken: cancellationToken))
            {
                if (parsed.GetValue(json)) PrintJson([jobEvent.Raw]);
                else Console.WriteLine($"{jobEvent.Raw.Time.ToDateTimeOffset():HH:mm:ss.fff}  {jobEvent}");
                lastState = jobEvent.State ?? lastState;
            }
            return lastState is JobState.Completed ? 0 : 1;
        });

        var cancel = new Command(
            "cancel", "Cancel one of your jobs; with a key of the scope `operator` or `admin` any job.") { id, reason };
        cancel.SetAction(async (parsed, cancellationToken) => Show(parsed, await OfAnyOwnerAsync(
            async () => await (await AttachAsync(parsed, cancellationToken)).CancelAsync(cancellationToken),
            () => AllJobs.CancelAsync(parsed.GetValue(id)!, parsed.GetValue(reason) ?? "", GetBackend(parsed), cancellationToken))));

        var kill = new Command(
            "kill", "Cancel a job, and restart its worker if the job does not react within a second; the worker's other jobs run again. "
                + "Requires a key with the scope `operator` or `admin`.") { id, reason };
        kill.SetAction(async (parsed, cancellationToken) => Show(parsed, await AllJobs.KillAsync(
            parsed.GetValue(id)!, parsed.GetValue(reason) ?? "", GetBackend(parsed), cancellationToken)));

        var delete = new Command("delete", "Delete one of your jobs and its results; it is cancelled first if it has not ended.") { id };
        delete.SetAction(async (parsed, cancellationToken) =>
        {
            Job job = await AttachAsync(parsed, cancellationToken);
            (int blobs, long bytes) = await job.DeleteAsync(cancellationToken);
            Console.WriteLine($"Deleted job {parsed.GetValue(id)}{(blobs > 0 ? $" and {blobs} large results of {bytes:N0} bytes" : "")}.");
            return 0;
        });

        var dead = new Command(
            "dead", "List the dead letters: jobs of all owners that failed because they lost too many workers. "
                + "Requires a key with the scope `operator` or `admin`.");
        dead.SetAction(async (parsed, cancellationToken) =>
        {
            IReadOnlyList<DeadLetter> letters = await DeadLetters.ListAsync(GetLimit(parsed), GetBackend(parsed), cancellationToken);
            if (parsed.GetValue(json)) return PrintJson(letters);
            var table = new Table().AddColumns("id", "model", "attempts", "since", "reason");
            foreach (DeadLetter letter in letters)
                table.AddRow(new[] { letter.JobId, letter.Model, $"{letter.Attempts}", FormatTime(letter.Time), letter.Reason }
                    .Select(Markup.Escape).ToArray());
            AnsiConsole.Write(table);
            return 0;
        });

        var requeue = new Command(
            "requeue", "Run a dead letter again, as a new job of its owner. Requires a key with the scope `operator` or `admin`.") { id };
        requeue.SetAction(async (parsed, cancellationToken) =>
        {
            string newId = await DeadLetters.RequeueAsync(parsed.GetValue(id)!, GetBackend(parsed), cancellationToken);
            Console.WriteLine($"Requeued as job {newId}.");
            return 0;
        });

        foreach (Command subcommand in new[] { list, show, watch, cancel, kill, delete, dead, requeue })
            command.Subcommands.Add(subcommand);
        return command;

        Backend GetBackend(ParseResult parsed) => BackendFactory.GetRemoteBackend(parsed.GetValue(host), parsed.GetValue(key));

        Task<Job> AttachAsync(ParseResult parsed, CancellationToken cancellationToken) =>
            Job.AttachAsync(parsed.GetValue(id)!, GetBackend(parsed), cancellationToken);

        int GetLimit(ParseResult parsed) => parsed.GetValue(limit) is > 0 and <= 1000 and var value
            ? value
            : throw new ArgumentException("--limit must be from 1 to 1000.");

        async Task<int> ListAsync(ParseResult parsed, bool activeOnly, CancellationToken cancellationToken)
        {
            bool isOfAll = parsed.GetValue(all) || parsed.GetValue(owner) is { Length: > 0 };
            IReadOnlyList<JobInfo> jobs = isOfAll
                ? await AllJobs.ListAsync(parsed.GetValue(owner) ?? "", GetLimit(parsed), activeOnly, GetBackend(parsed), cancellationToken)
                : await Job.ListAsync(GetLimit(parsed), activeOnly, GetBackend(parsed), cancellationToken);
            if (parsed.GetValue(json)) return PrintJson(jobs);
            string[] ownerColumn = isOfAll ? ["owner"] : [];
            var table = new Table().AddColumns(
                ["id", .. ownerColumn, "state", "model", "submitted", "position", "attempt", "worker"]);
            foreach (JobInfo job in jobs)
            {
                string position = job.Position > 0 ? $"{job.Position}" : "";
                table.AddRow(((string[])
                [
                    job.Id, .. isOfAll ? (string[])[job.Owner] : [], FormatState(job), job.Model.Id, FormatTime(job.Submitted), position,
                    $"{job.Attempt}", job.Worker,
                ]).Select(Markup.Escape).ToArray());
            }
            AnsiConsole.Write(table);
            return 0;
        }

        // an operator may name the job of another key; whoever may not gets the error for the own jobs
        static async Task<JobInfo> OfAnyOwnerAsync(Func<Task<JobInfo>> own, Func<Task<JobInfo>> any)
        {
            try
            {
                return await own();
            }
            catch (NdifException unknown) when (unknown.Code is ErrorCode.UnknownJob or ErrorCode.PermissionDenied)
            {
                try
                {
                    return await any();
                }
                catch (AccessException)
                {
                    throw unknown;
                }
            }
        }

        int Show(ParseResult parsed, JobInfo job)
        {
            if (parsed.GetValue(json)) return PrintJson([job]);
            Console.WriteLine($"{job.Id}: {FormatState(job)}");
            Console.WriteLine($"  model      {job.Model.GetName()}");
            if (job.Owner.Length > 0) Console.WriteLine($"  owner      {job.Owner}");
            Console.WriteLine($"  submitted  {FormatTime(job.Submitted)}");
            if (job.Position > 0) Console.WriteLine($"  position   {job.Position}, about {job.WaitSeconds:0.#} s");
            if (job.Notice.Length > 0) Console.WriteLine($"  notice     {job.Notice}");
            string worker = job.Worker.Length > 0 ? $" on {job.Worker}" : "";
            if (job.Started is not null) Console.WriteLine($"  started    {FormatTime(job.Started)}, attempt {job.Attempt}{worker}");
            if (job.Ended is not null) Console.WriteLine($"  ended      {FormatTime(job.Ended)}");
            if (job.Usage is { } usage)
                Console.WriteLine(
                    $"  used       {usage.Tokens} tokens, {usage.ComputeSeconds:0.###} s, {usage.ResultBytes} bytes of results"
                    + (usage.ReusedLayers > 0 ? $", {usage.ReusedLayers} layers of earlier passes" : "")
                    + (usage.ReusedTokens > 0 ? $", {usage.ReusedTokens} tokens of earlier passes" : ""));
            if (job.Usage is { Phases.Count: > 0 } measured)
            {
                IEnumerable<string> phases = measured.Phases.Select(phase => $"{phase.Name} {1000 * phase.Seconds:0.0} ms");
                Console.WriteLine($"  time       {string.Join(", ", phases)}");
            }
            if (job.Error is { } error)
                Console.WriteLine($"  error      {ErrorText.Format(error).Replace("\n", "\n             ", StringComparison.Ordinal)}");
            return 0;
        }
    }

    private static string FormatState(JobInfo job) => job.State.ToString().ToLowerInvariant();

    private static string FormatTime(Timestamp? time) => time is null ? "" : $"{time.ToDateTimeOffset():yyyy-MM-dd HH:mm:ss} UTC";

    /// <summary>Writes one JSON object per line.</summary>
    private static int PrintJson(IEnumerable<IMessage> messages)
    {
        var formatter = new JsonFormatter(JsonFormatter.Settings.Default.WithFormatDefaultValues(true));
        foreach (IMessage message in messages) Console.WriteLine(formatter.Format(message));
        return 0;
    }
}

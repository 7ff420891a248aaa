using System.CommandLine;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using Spectre.Console;

namespace Ndif.Cli.Commands;

/// <summary>`ndif jobs [show|watch|cancel|delete|dead|requeue]`: one's own jobs, and for operators those that lost too many workers.</summary>
internal static class JobsCommand
{
    public static Command Create()
    {
        var host = CommonOptions.Host();
        var key = CommonOptions.Key();
        var json = CommonOptions.Json("What is shown");
        var limit = new Option<int>("--limit") { Description = "How many at most, newest first.", DefaultValueFactory = _ => 20 };
        host.Recursive = key.Recursive = json.Recursive = limit.Recursive = true;
        var active = new Option<bool>("--active") { Description = "Only jobs that wait or run." };
        var id = new Argument<string>("id") { Description = "The job's id." };

        var command = new Command("jobs", "List your jobs; show, cancel or delete one; look at dead letters and run them again.") { host, key, json, limit, active };
        command.SetAction((parsed, cancellationToken) => ListAsync(parsed, parsed.GetValue(active), cancellationToken));

        var list = new Command("list", "List your jobs, newest first.") { active };
        list.SetAction((parsed, cancellationToken) => ListAsync(parsed, parsed.GetValue(active), cancellationToken));

        var show = new Command("show", "Show what is known of a job of yours.") { id };
        show.SetAction(async (parsed, cancellationToken) => Show(parsed, await (await Of(parsed, cancellationToken)).GetAsync(cancellationToken)));

        var watch = new Command("watch", "Tell what happens to a job of yours, from its submission to its end; while it waits, where it stands.") { id };
        watch.SetAction(async (parsed, cancellationToken) =>
        {
            JobState last = default;
            await foreach (JobEvent happening in (await Of(parsed, cancellationToken)).Events(cancellationToken: cancellationToken))
            {
                if (parsed.GetValue(json)) PrintJson([happening.Raw]);
                else Console.WriteLine($"{happening.Raw.Time.ToDateTimeOffset():HH:mm:ss.fff}  {happening}");
                last = happening.State ?? last;
            }
            return last is JobState.Completed ? 0 : 1;
        });

        var cancel = new Command("cancel", "Cancel a job of yours, whether it waits or runs.") { id };
        cancel.SetAction(async (parsed, cancellationToken) => Show(parsed, await (await Of(parsed, cancellationToken)).CancelAsync(cancellationToken)));

        var delete = new Command("delete", "Delete a job of yours and its results; one that waits or runs is cancelled first.") { id };
        delete.SetAction(async (parsed, cancellationToken) =>
        {
            (int blobs, long bytes) = await (await Of(parsed, cancellationToken)).DeleteAsync(cancellationToken);
            Console.WriteLine($"Deleted job {parsed.GetValue(id)}{(blobs > 0 ? $" and {blobs} large results of {bytes:N0} bytes" : "")}.");
            return 0;
        });

        var dead = new Command("dead", "List all owners' jobs that failed because they lost too many workers. Needs a key with `operator` or `admin`.");
        dead.SetAction(async (parsed, cancellationToken) =>
        {
            IReadOnlyList<DeadLetter> letters = await DeadLetters.ListAsync(Limit(parsed), There(parsed), cancellationToken);
            if (parsed.GetValue(json)) return PrintJson(letters);
            var table = new Table().AddColumns("id", "model", "attempts", "since", "reason");
            foreach (DeadLetter letter in letters)
                table.AddRow(new[] { letter.JobId, letter.Model, $"{letter.Attempts}", FormatTime(letter.Time), letter.Reason }.Select(Markup.Escape).ToArray());
            AnsiConsole.Write(table);
            return 0;
        });

        var requeue = new Command("requeue", "Run a dead letter again, as a new job of its owner. Needs a key with `operator` or `admin`.") { id };
        requeue.SetAction(async (parsed, cancellationToken) =>
        {
            string again = await DeadLetters.RequeueAsync(parsed.GetValue(id)!, There(parsed), cancellationToken);
            Console.WriteLine($"Runs again as job {again}.");
            return 0;
        });

        foreach (Command part in new[] { list, show, watch, cancel, delete, dead, requeue }) command.Subcommands.Add(part);
        return command;

        Backend There(ParseResult parsed) => CommonOptions.GetRemoteBackend(parsed.GetValue(host), parsed.GetValue(key));

        Task<Job> Of(ParseResult parsed, CancellationToken cancellationToken) => Job.AttachAsync(parsed.GetValue(id)!, There(parsed), cancellationToken);

        int Limit(ParseResult parsed) => parsed.GetValue(limit) is > 0 and <= 1000 and var most ? most : throw new ArgumentException("--limit is from 1 to 1000.");

        async Task<int> ListAsync(ParseResult parsed, bool activeOnly, CancellationToken cancellationToken)
        {
            IReadOnlyList<JobInfo> jobs = await Job.ListAsync(Limit(parsed), activeOnly, There(parsed), cancellationToken);
            if (parsed.GetValue(json)) return PrintJson(jobs);
            var table = new Table().AddColumns("id", "state", "model", "submitted", "position", "attempt", "worker");
            foreach (JobInfo job in jobs)
                table.AddRow(new[] { job.Id, FormatState(job), job.Model.Id, FormatTime(job.Submitted), job.Position > 0 ? $"{job.Position}" : "", $"{job.Attempt}", job.Worker }.Select(Markup.Escape).ToArray());
            AnsiConsole.Write(table);
            return 0;
        }

        int Show(ParseResult parsed, JobInfo job)
        {
            if (parsed.GetValue(json)) return PrintJson([job]);
            Console.WriteLine($"{job.Id}: {FormatState(job)}");
            Console.WriteLine($"  model      {job.Model.GetName()}");
            Console.WriteLine($"  submitted  {FormatTime(job.Submitted)}");
            if (job.Position > 0) Console.WriteLine($"  position   {job.Position}, about {job.WaitSeconds:0.#} s");
            if (job.Started is not null) Console.WriteLine($"  started    {FormatTime(job.Started)}, attempt {job.Attempt}{(job.Worker.Length > 0 ? $" on {job.Worker}" : "")}");
            if (job.Ended is not null) Console.WriteLine($"  ended      {FormatTime(job.Ended)}");
            if (job.Usage is { } usage) Console.WriteLine($"  used       {usage.Tokens} tokens, {usage.ComputeSeconds:0.###} s, {usage.ResultBytes} bytes of results");
            if (job.Usage is { Phases.Count: > 0 } parts) Console.WriteLine($"  time       {string.Join(", ", parts.Phases.Select(part => $"{part.Name} {1000 * part.Seconds:0.0} ms"))}");
            if (job.Error is { } error) Console.WriteLine($"  error      {ErrorText.Format(error).Replace("\n", "\n             ", StringComparison.Ordinal)}");
            return 0;
        }
    }

    private static string FormatState(JobInfo job) => job.State.ToString().ToLowerInvariant();

    private static string FormatTime(Timestamp? time) => time is null ? "" : $"{time.ToDateTimeOffset():yyyy-MM-dd HH:mm:ss} UTC";

    /// <summary>One JSON object a line.</summary>
    private static int PrintJson(IEnumerable<IMessage> messages)
    {
        var formatter = new JsonFormatter(JsonFormatter.Settings.Default.WithFormatDefaultValues(true));
        foreach (IMessage message in messages) Console.WriteLine(formatter.Format(message));
        return 0;
    }
}

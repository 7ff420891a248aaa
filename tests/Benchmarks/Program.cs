using System.CommandLine;
using Ndif.Benchmarks.Groups;
using Ndif.Benchmarks.Groups.Concurrency;
using Ndif.Benchmarks.Groups.Isolation;
using Ndif.Benchmarks.Groups.Service;
using Ndif.Benchmarks.Harness;

// A child process of the Memory group (Groups/MemoryGroup.cs).
if (args is ["--child", .. var child]) return MemoryChild.Run(child);
// The child process of the Isolation group (Groups/Isolation/Attacker.cs).
if (args is ["--attack", .. var attack]) return await Attacker.RunAsync(attack);

var json = new Option<bool>("--json")
{
    Description = "A list of {name, value, unit, limit, goal, met} on standard output, and nothing else.",
};
var only = new Option<string?>("--group")
{
    Description = "Only this group: Forward, Speed, Families, Sites, Invokes, Remote, Loading, Memory, Service, Concurrency, "
        + "Isolation, Activations.",
};
var filter = new Option<string?>("--filter") { Description = "Only measurements whose name contains this text." };
var quick = new Option<bool>("--quick") { Description = "A fifth of the rounds: to try, not to judge by." };
var command =
    new RootCommand("How fast NDIF is: each figure against a limit or a baseline that was measured in the same run.") { json, only, filter,
        quick };
command.SetAction(async (parsed, cancellationToken) =>
{
    var run = new BenchmarkRun(new RunSettings(parsed.GetValue(quick)), parsed.GetValue(filter) ?? "", Console.Error);
    foreach (Func<BenchmarkGroup> create in (Func<BenchmarkGroup>[])[() => new ForwardGroup(), () => new SpeedGroup(),
        () => new FamiliesGroup(), () => new SitesGroup(), () => new InvokesGroup(), () => new RemoteGroup(), () => new LoadingGroup(),
        () => new MemoryGroup(), () => new ServiceGroup(), () => new ConcurrencyGroup(), () => new IsolationGroup(),
        () => new ActivationsGroup()])
    {
        BenchmarkGroup group = create();
        if (parsed.GetValue(only) is { } name && !name.Equals(group.Name, StringComparison.OrdinalIgnoreCase)) continue;
        await run.MeasureAsync(group, cancellationToken);
    }
    Console.WriteLine(parsed.GetValue(json) ? Report.Json(run.Figures, run.Failures) : Report.Table(run.Figures, run.Failures));
    return run.Failures.Count == 0 ? 0 : 1;
});
return await command.Parse(args).InvokeAsync();

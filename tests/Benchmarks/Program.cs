using System.CommandLine;
using Ndif.Benchmarks.Groups;
using Ndif.Benchmarks.Groups.Service;
using Ndif.Benchmarks.Harness;

// A child process of the Memory group: see Groups/Memory.cs.
if (args is ["--child", .. var child]) return MemoryChild.Run(child);

var json = new Option<bool>("--json") { Description = "A list of {name, value, unit, limit, goal, met} on standard output, and nothing else." };
var only = new Option<string?>("--group") { Description = "Only this group: Forward, Speed, Sites, Remote, Loading, Memory, Service." };
var filter = new Option<string?>("--filter") { Description = "Only measurements whose name holds this text." };
var quick = new Option<bool>("--quick") { Description = "A fifth of the rounds: to try, not to judge by." };
var command = new RootCommand("How fast NDIF is: each figure against a limit or a rival that was measured in the same run.") { json, only, filter, quick };
command.SetAction(async (parsed, cancellationToken) =>
{
    List<Measurement> figures = [];
    var pace = new RunSettings(parsed.GetValue(quick));
    foreach (Func<BenchmarkGroup> make in (Func<BenchmarkGroup>[])[() => new ForwardGroup(), () => new SpeedGroup(), () => new SitesGroup(), () => new RemoteGroup(), () => new LoadingGroup(), () => new MemoryGroup(), () => new ServiceGroup()])
    {
        await using BenchmarkGroup group = make();
        if (parsed.GetValue(only) is { } name && !name.Equals(group.Name, StringComparison.OrdinalIgnoreCase)) continue;
        foreach (Benchmark entry in group.Entries.Where(e => e.Name.Contains(parsed.GetValue(filter) ?? "", StringComparison.OrdinalIgnoreCase)))
        {
            Console.Error.WriteLine($"{entry.Name} ...");
            foreach (Measurement figure in await entry.Measure(pace, cancellationToken))
            {
                Console.Error.WriteLine(FormattableString.Invariant($"  {figure.Name} = {figure.Value:0.0###} {figure.Unit}"));
                figures.Add(figure);
            }
        }
    }
    Console.WriteLine(parsed.GetValue(json) ? Report.Json(figures) : Report.Table(figures));
});
return await command.Parse(args).InvokeAsync();

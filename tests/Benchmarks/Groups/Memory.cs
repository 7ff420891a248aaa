using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Ndif.Benchmarks.Harness;
using Ndif.Benchmarks.Subjects;
using Ndif.Models;
using static System.FormattableString;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// Resident memory (VmRSS, mapped file pages included) of a process that has loaded GPT-2-small and done one forward, less that of a
/// process that has done one small matrix product with libtorch; against the bytes of the weights. Each is a process of its own,
/// which measures itself when it is done; the model's process still holds the model, and nothing of the forward.
/// </summary>
internal sealed class Memory : Group
{
    public override string Name => "Memory";

    public override IReadOnlyList<Entry> Entries =>
    [
        new("memory.10 tokens", (pace, cancellationToken) => Measure(10, pace, cancellationToken)),
        new("memory.512 tokens", (pace, cancellationToken) => Measure(512, pace, cancellationToken)),
    ];

    private static async Task<IReadOnlyList<Figure>> Measure(int tokens, Pace pace, CancellationToken cancellationToken)
    {
        string folder = GPT2Shape.Small.Folder();
        List<MemoryUse> without = [], with = [];
        for (int i = 0; i < (pace.IsQuick ? 1 : 3); i++)
        {
            without.Add(await MemoryChild.StartAsync(["libtorch"], cancellationToken));
            with.Add(await MemoryChild.StartAsync(["model", folder, tokens.ToString(CultureInfo.InvariantCulture)], cancellationToken));
        }
        double weights = with[0].Weights, baseline = Median(without, u => u.Resident);
        double resident = Median(with, u => u.Resident), peak = Median(with, u => u.Peak);
        string against = Invariant($"{weights / 1e6:0} MB of weights; libtorch alone takes {baseline / 1e6:0} MB");
        return
        [
            new($"memory.{tokens} tokens", (resident - baseline) / weights, "x weights", Invariant(
                $"{against}, with the model {resident / 1e6:0} MB"), new Goal(1.25)),
            new($"memory.{tokens} tokens, peak", (peak - baseline) / weights, "x weights", Invariant(
                $"{against}, with the model at most {peak / 1e6:0} MB")),
        ];
    }

    private static double Median(List<MemoryUse> uses, Func<MemoryUse, double> part) => Estimate.Of(uses.Select(part)).Median;
}

/// <summary>What a child process found, in bytes.</summary>
/// <param name="Resident">VmRSS at the end.</param>
/// <param name="Peak">VmHWM: the most it ever was.</param>
/// <param name="Weights">Of the model; 0 without one.</param>
internal sealed record MemoryUse(double Resident, double Peak, double Weights);

/// <summary>The Memory group's child process: this program, started again with other arguments.</summary>
internal static class MemoryChild
{
    public static async Task<MemoryUse> StartAsync(string[] arguments, CancellationToken cancellationToken)
    {
        string program = Environment.ProcessPath!;
        string[] own = Path.GetFileNameWithoutExtension(program) == "dotnet" ? [typeof(MemoryChild).Assembly.Location] : [];
        var start = new ProcessStartInfo(program, [.. own, "--child", .. arguments]) { RedirectStandardOutput = true };
        using Process child = Process.Start(start)!;
        string answer = await child.StandardOutput.ReadToEndAsync(cancellationToken);
        await child.WaitForExitAsync(cancellationToken);
        if (child.ExitCode != 0) throw new InvalidOperationException($"The child process ended with {child.ExitCode}.");
        return JsonSerializer.Deserialize<MemoryUse>(answer)!;
    }

    public static int Run(string[] arguments)
    {
        using LoadedModel? model = arguments is ["model", var folder, _] ? ModelLoader.Load(folder) : null;
        if (model is null) SmallProduct();
        else Forward(model, int.Parse(arguments[2], CultureInfo.InvariantCulture));
        var status = File.ReadLines("/proc/self/status").Select(line => line.Split(':', 2)).ToDictionary(p => p[0], p => p[1]);
        Console.Write(JsonSerializer.Serialize(new MemoryUse(Bytes("VmRSS"), Bytes("VmHWM"), model?.Description.Bytes ?? 0)));
        return 0;

        double Bytes(string key) => 1024 * double.Parse(status[key].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture);
    }

    private static void SmallProduct()
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        ones(256, 256).mm(ones(256, 256));
    }

    private static void Forward(LoadedModel model, int tokens)
    {
        using var row = new PromptRow(GPT2Shape.Small.Prompt(tokens));
        row.Run(model);
    }
}

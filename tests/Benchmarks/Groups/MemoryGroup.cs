using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Models;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// The resident memory (VmRSS, including mapped file pages) of a process that has loaded GPT-2-small and run one forward pass, minus that
/// of a process that has run one small matrix multiplication with libtorch, relative to the size of the weights. Each is a separate
/// process that measures itself at its end. At that time, it owns the model but no tensors of the forward pass. The group also measures
/// after eight forward passes, and after unused memory is returned to the system, as an idle worker does (<see cref="NativeHeap"/>).
/// </summary>
internal sealed class MemoryGroup : BenchmarkGroup
{
    public override string Name => "Memory";

    public override IReadOnlyList<Benchmark> Entries =>
    [
        new("memory.10 tokens", (settings, cancellationToken) => Measure(10, settings, cancellationToken)),
        new("memory.512 tokens", (settings, cancellationToken) => Measure(512, settings, cancellationToken)),
    ];

    private static async Task<IReadOnlyList<Measurement>> Measure(int tokens, RunSettings settings, CancellationToken cancellationToken)
    {
        string folder = GPT2Checkpoint.Small.Folder();
        List<MemoryUse> without = [], with = [];
        for (int i = 0; i < (settings.IsQuick ? 1 : 5); i++)
        {
            without.Add(await MemoryChild.StartAsync(["libtorch"], cancellationToken));
            with.Add(await MemoryChild.StartAsync(["model", folder, tokens.ToString(CultureInfo.InvariantCulture)], cancellationToken));
        }
        double weights = with[0].WeightBytes, baseline = Median(without, u => u.AfterFirstForward);
        return
        [
            Figure("one forward", u => u.AfterFirstForward, new Goal(1.25)),
            Figure("eight forwards", u => u.AfterEighthForward),
            Figure("at rest", u => u.AfterRelease, new Goal(1.25)),
            Figure("peak", u => u.Peak),
        ];

        Measurement Figure(string label, Func<MemoryUse, double> selector, Goal? goal = null) => new(
            $"memory.{tokens} tokens, {label}", (Median(with, selector) - baseline) / weights, "x weights",
            $"{weights / 1e6:0} MB of weights; libtorch alone takes {baseline / 1e6:0} MB, with the model "
                + $"{Median(with, selector) / 1e6:0} MB ({with.Min(selector) / 1e6:0} to {with.Max(selector) / 1e6:0})", goal);
    }

    private static double Median(List<MemoryUse> uses, Func<MemoryUse, double> selector) => Estimate.Of(uses.Select(selector)).Median;
}

/// <summary>
/// The resident memory of a child process in bytes: after the first forward pass, after the eighth, and after unused memory is returned.
/// </summary>
/// <param name="Peak">The peak of the resident memory (VmHWM) during the eight passes.</param>
/// <param name="WeightBytes">The size of the weights; 0 without a model.</param>
internal sealed record MemoryUse(double AfterFirstForward, double AfterEighthForward, double AfterRelease, double Peak, double WeightBytes);

/// <summary>The child process of the memory group: this program, started with other arguments.</summary>
internal static class MemoryChild
{
    public static async Task<MemoryUse> StartAsync(string[] arguments, CancellationToken cancellationToken)
    {
        string program = Environment.ProcessPath!;
        string[] assembly = Path.GetFileNameWithoutExtension(program) == "dotnet" ? [typeof(MemoryChild).Assembly.Location] : [];
        var start = new ProcessStartInfo(program, [.. assembly, "--child", .. arguments]) { RedirectStandardOutput = true };
        using Process child = Process.Start(start)!;
        string answer = await child.StandardOutput.ReadToEndAsync(cancellationToken);
        await child.WaitForExitAsync(cancellationToken);
        if (child.ExitCode != 0) throw new InvalidOperationException($"The child process ended with {child.ExitCode}.");
        return JsonSerializer.Deserialize<MemoryUse>(answer)!;
    }

    public static int Run(string[] arguments)
    {
        using LoadedModel? model = arguments is ["model", var folder, _] ? ModelLoader.Load(folder) : null;
        Action forward = model is null ? SmallProduct : () => Forward(model, int.Parse(arguments[2], CultureInfo.InvariantCulture));
        forward();
        double first = Status("VmRSS");
        for (int i = 1; i < 8; i++) forward();
        double eighth = Status("VmRSS");
        NativeHeap.Trim();
        Console.Write(
            JsonSerializer.Serialize(new MemoryUse(first, eighth, Status("VmRSS"), Status("VmHWM"), model?.Description.Bytes ?? 0)));
        return 0;
    }

    /// <summary>Reads a line such as "VmRSS:    154148 kB" and returns the value in bytes.</summary>
    private static double Status(string key) => 1024 * double.Parse(
        File.ReadLines("/proc/self/status").First(line => line.StartsWith(key, StringComparison.Ordinal))
        .Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2],
        CultureInfo.InvariantCulture);

    private static void SmallProduct()
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        ones(256, 256).mm(ones(256, 256));
    }

    private static void Forward(LoadedModel model, int tokens)
    {
        using var row = new PromptInput(GPT2Checkpoint.Small.Prompt(tokens));
        row.Run(model);
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Ndif.Benchmarks.Harness;

/// <summary>
/// Benchmarks of costs of microseconds, which run in a child process with one thread of arithmetic: to hand small products to a second
/// thread takes as long as they do, and longer while other processes use the cores.
/// </summary>
internal static class OneThread
{
    private const string Variable = "OMP_NUM_THREADS"; // libtorch's number of threads, and that of our kernels

    private static bool IsHere => Environment.GetEnvironmentVariable(Variable) == "1";

    public static Benchmark Benchmark(string group, string name, Func<RunSettings, IReadOnlyList<Measurement>> measure) =>
        new(name, (settings, cancellationToken) => IsHere ? Task.FromResult(measure(settings))
            : MeasureInChildAsync(group, name, settings, cancellationToken));

    private static async Task<IReadOnlyList<Measurement>> MeasureInChildAsync(
        string group, string name, RunSettings settings, CancellationToken cancellationToken)
    {
        string program = Environment.ProcessPath!;
        string[] assembly = Path.GetFileNameWithoutExtension(program) == "dotnet" ? [typeof(OneThread).Assembly.Location] : [];
        string[] quick = settings.IsQuick ? ["--quick"] : [];
        var start = new ProcessStartInfo(program, [.. assembly, "--json", "--group", group, "--filter", name, .. quick])
        {
            RedirectStandardOutput = true, Environment = { [Variable] = "1" },
        };
        using Process child = Process.Start(start)!;
        string json = await child.StandardOutput.ReadToEndAsync(cancellationToken);
        await child.WaitForExitAsync(cancellationToken);
        using JsonDocument figures = JsonDocument.Parse(json);
        return [.. figures.RootElement.EnumerateArray().Select(Read)];
    }

    private static Measurement Read(JsonElement figure)
    {
        if (figure.TryGetProperty("error", out JsonElement error)) throw new InvalidOperationException(error.GetString());
        return new(Text("name"), figure.GetProperty("value").GetDouble(), Text("unit"), Text("limit"),
            figure.GetProperty("goal").GetString() is { } goal
                ? new Goal(double.Parse(goal[3..], CultureInfo.InvariantCulture), goal.StartsWith(">=", StringComparison.Ordinal)) : null);

        string Text(string property) => figure.GetProperty(property).GetString()!;
    }
}

using System.Diagnostics;
using System.Globalization;
using Ndif.Fuzz.Targets;

namespace Ndif.Fuzz;

/// <summary>Runs a fuzz target in one of four modes: seeds, replay, random and afl. The script run.sh uses them.</summary>
internal static class EntryPoint
{
    private const int MaxInputBytes = 64 << 10;
    private const int MinRandomRuns = 25; // also on a busy machine

    private static readonly Dictionary<string, Func<IFuzzTarget>> _targets = new()
    {
        ["program"] = () => new ProgramTarget(executePrograms: false),
        ["run"] = () => new ProgramTarget(executePrograms: true),
        ["tensor"] = () => new TensorTarget(),
        ["name"] = () => new NameTarget(),
        ["header"] = () => new SafetensorsHeaderTarget(),
        ["npy"] = () => new NpyTarget(),
        ["request"] = () => new RequestTarget(),
        ["gateway"] = () => new GatewayTarget(),
    };

    public static int Main(string[] args)
    {
        if (args.Length < 2 || !_targets.TryGetValue(args[1], out Func<IFuzzTarget>? open))
        {
            Console.Error.WriteLine($"fuzz seeds|replay|random|afl {string.Join('|', _targets.Keys)} [folder or files|seconds seed]");
            return 2;
        }
        if (args[0] == "afl")
        {
            IFuzzTarget? opened = null; // opened by the first input: instrumented code must not run before the fuzzer has started
            SharpFuzz.Fuzzer.Run(stream =>
            {
                byte[] buffer = new byte[MaxInputBytes];
                int length = stream.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
                (opened ??= open()).RunBounded(buffer[..length]);
            });
            return 0;
        }
        IFuzzTarget target = open();
        switch (args[0])
        {
            case "seeds": // writes the seeds to a folder, for AFL
                Directory.CreateDirectory(args[2]);
                foreach ((int number, byte[] seed) in target.Seeds().Index())
                    File.WriteAllBytes(Path.Combine(args[2], $"{number:000}"), seed);
                return 0;

            case "replay": // runs inputs that AFL has found
                foreach (string file in args[2..].SelectMany(path => Directory.Exists(path) ? Directory.GetFiles(path) : [path]))
                {
                    Console.WriteLine(file);
                    target.RunBounded(File.ReadAllBytes(file));
                }
                return 0;

            case "random":
            {
                byte[][] seeds = [.. target.Seeds()];
                foreach (byte[] seed in seeds) target.Run(seed);
                double seconds = double.Parse(args[2], CultureInfo.InvariantCulture);
                int number = int.Parse(args[3], CultureInfo.InvariantCulture);
                var mutations = new InputMutator(seeds, number);
                long began = Stopwatch.GetTimestamp(), runs = 0;
                // The current input is written to this file, because a native abort leaves no other trace.
                string last = Path.Combine(Path.GetTempPath(), $"ndif-fuzz-{args[1]}-{Environment.ProcessId}");
                for (; runs < MinRandomRuns || Stopwatch.GetElapsedTime(began).TotalSeconds < seconds; runs++)
                {
                    byte[] input = mutations.Next();
                    if (args[1] == "run") File.WriteAllBytes(last, input);
                    try
                    {
                        target.RunBounded(input);
                    }
                    catch (Exception)
                    {
                        Console.WriteLine($"finding after {runs} runs: {Convert.ToBase64String(input)}");
                        throw;
                    }
                }
                File.Delete(last);
                Console.WriteLine($"{args[1]}: {runs} runs, "
                    + $"{runs / Stopwatch.GetElapsedTime(began).TotalSeconds:0} per second, no finding");
                (target as IDisposable)?.Dispose();
                return 0;
            }

            default:
                return 2;
        }
    }
}

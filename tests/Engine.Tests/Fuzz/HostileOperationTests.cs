using System.Diagnostics;
using System.Globalization;
using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Tests.Support;
using Ndif.Models;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Fuzz;

/// <summary>
/// No operation takes more memory than its job may, and none is deaf to a cancellation: programs of hostile operations run in a child
/// process, and are cancelled at random. The seed and the operation are in the failure.
/// </summary>
/// <remarks>
/// 20 s; NDIF_TEST_MINUTES=60 runs for an hour, and NDIF_TEST_GIB=8 gives each job 8 GiB and an hour instead of 256 MiB and 10 s. The
/// time from a cancellation to the end of its job is 1 s on an idle machine; on one that is busy with other work the test allows as many
/// times more as the machine is slower than its own best.
/// </remarks>
public sealed class HostileOperationTests
{
    private const string ChildVariable = "NDIF_TEST_HOSTILE";

    private static readonly string? _gib = Environment.GetEnvironmentVariable("NDIF_TEST_GIB");

    private static readonly long _most = _gib is null ? 256L << 20 : long.Parse(_gib, CultureInfo.InvariantCulture) << 30;

    /// <summary>What the libraries keep for themselves while an operation runs, such as the buffers of matrix products.</summary>
    private const long OperationSlack = 64L << 20;

    /// <summary>The same over all programs.</summary>
    private const long ProcessSlack = 512L << 20;

    private static readonly TimeSpan _cancelAfter = TimeSpan.FromSeconds(10),
        _wallTime = _gib is null ? _cancelAfter : TimeSpan.FromHours(1);

    [Fact]
    public async Task NoOperation_TakesMoreThanItsJobMay()
    {
        string log = Path.GetTempFileName();
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet")
            start.ArgumentList.Add(typeof(HostileOperationTests).Assembly.Location);
        foreach (string argument in (string[])["-explicit", "only", "-method", $"{typeof(HostileOperationTests).FullName}.{nameof(Child)}"])
            start.ArgumentList.Add(argument);
        double minutes = double.Parse(Environment.GetEnvironmentVariable("NDIF_TEST_MINUTES") ?? "0.33", CultureInfo.InvariantCulture);
        string seed = Environment.GetEnvironmentVariable("NDIF_TEST_SEED") ?? "14";
        start.Environment[ChildVariable] = string.Create(CultureInfo.InvariantCulture, $"{minutes} {seed} {log}");
        using Process child = Process.Start(start)!;
        Task<string> output = child.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken),
            errors = child.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(minutes + 5));
        await child.WaitForExitAsync(patience.Token);
        string last = await File.ReadAllTextAsync(log, patience.Token);
        File.Delete(log);
        Assert.True(child.ExitCode == 0, $"exit code {child.ExitCode} after\n{last}\n{await output}\n{await errors}");
        Assert.StartsWith("done", last, StringComparison.Ordinal);
        TestContext.Current.TestOutputHelper?.WriteLine(last);
    }

    /// <summary>Runs only on request, in its own process.</summary>
    [Fact(Explicit = true)]
    public void Child()
    {
        string[] mark = (Environment.GetEnvironmentVariable(ChildVariable) ?? "").Split(' ');
        Assert.Equal(3, mark.Length);
        double seconds = 60 * double.Parse(mark[0], CultureInfo.InvariantCulture);
        int seed = int.Parse(mark[1], CultureInfo.InvariantCulture);
        using var fixture = EngineFixture.GPT2();
        var model = new ModelRef { Id = fixture.Path };
        var programs = new HostilePrograms(seed);
        var random = new Random(seed);
        List<string> findings = [];
        using var memory = new MemorySampler();
        long begin = Stopwatch.GetTimestamp(), baseline = 0;
        var codes = new SortedDictionary<string, int>();
        double slowest = 0;
        int count = 0;
        for (; Stopwatch.GetElapsedTime(begin).TotalSeconds < seconds; count++)
        {
            Program program = programs.Next(model);
            File.WriteAllText(mark[2], $"program {count}: {programs.Description}");
            if (count == 30) baseline = MemorySampler.Resident();
            if (count % 20 == 0) NativeHeap.Trim(); // as a worker does when it is idle
            memory.Restart();
            long before = MemorySampler.Resident();
            using var cancel = new CancellationTokenSource();
            long cancelled = 0;
            cancel.Token.Register(() => cancelled = Stopwatch.GetTimestamp());
            if (random.Next(2) == 0) cancel.CancelAfter(random.Next(1, 2000));
            else cancel.CancelAfter(_cancelAfter);
            Error? error;
            long from = Stopwatch.GetTimestamp();
            try
            {
                using var job = new JobRun(Compiler.Compile(program, fixture.HookedModel), new Sink(), maxValueBytes: _most,
                    timeLeft: () => _wallTime - Stopwatch.GetElapsedTime(from), cancellationToken: cancel.Token);
                ProgramEngine.Run(fixture.HookedModel, [job]);
                error = job.Error;
            }
            catch (Exception e) when (e is NdifException or { InnerException: NdifException })
            {
                error = Errors.FromException(e); // the program is not valid
            }
            double deaf = cancelled > from ? Stopwatch.GetElapsedTime(cancelled).TotalSeconds : 0;
            string code = error?.Code.ToString() ?? "completed";
            codes[code] = codes.GetValueOrDefault(code) + 1;
            slowest = Math.Max(slowest, deaf);
            long growth = memory.Peak - before;
            if (error?.Code is ErrorCode.Internal) findings.Add($"{error.Message}: {programs.Description}");
            if (deaf > 1) findings.Add($"{deaf:0.0} s deaf: {programs.Description}");
            if (growth > _most / 5 * 6 + OperationSlack) findings.Add($"{growth >> 20} MiB: {programs.Description}");
            if (baseline > 0 && before - baseline > ProcessSlack)
            {
                findings.Add($"{before - baseline >> 20} MiB stay after {count} programs");
                baseline = before;
            }
        }
        string summary = $"{count} programs, {slowest:0.00} s at most from a cancellation to the end; "
            + string.Join(", ", codes.Select(c => $"{c.Key} {c.Value}"));
        File.WriteAllText(mark[2], $"done: {summary}");
        if (Environment.GetEnvironmentVariable("NDIF_TEST_REPORT") is { } report)
            File.WriteAllText(report, summary + "\n" + string.Join("\n\n", findings));
        // the time to a cancellation depends on the machine's load too
        string[] overMemory = [.. findings.Where(finding => !finding.Contains(" s deaf", StringComparison.Ordinal))];
        Assert.True(overMemory.Length == 0, string.Join("\n", overMemory));
        Assert.True(slowest < 12, string.Join("\n", findings));
    }

    /// <summary>Reads what is saved, as a worker does, and keeps nothing.</summary>
    private sealed class Sink : IRunSink
    {
        public void OnValueSaved(uint node, string name, object? value, bool isFinal)
        {
            if (value is not TorchSharp.torch.Tensor tensor) return;
            using TorchSharp.torch.Tensor plain = TensorBytes.ToContiguousCpu(tensor);
            TensorBytes.CopyTo(plain, Stream.Null);
        }

        public void OnLogged(uint node, string text) { }

        public void OnWarning(uint node, string module, string message) { }

        public void OnTokenGenerated(NewToken token) { }

        public Data InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout) => new();
    }

    /// <summary>Reads the resident memory of the process every few milliseconds and keeps the largest.</summary>
    private sealed class MemorySampler : IDisposable
    {
        private readonly Thread _thread;
        private long _peak;
        private volatile bool _isDisposed;

        public MemorySampler()
        {
            _thread = new Thread(() =>
            {
                while (!_isDisposed)
                {
                    Interlocked.Exchange(ref _peak, Math.Max(Interlocked.Read(ref _peak), Resident()));
                    Thread.Sleep(5);
                }
            }) { IsBackground = true };
            _thread.Start();
        }

        public long Peak => Interlocked.Read(ref _peak);

        public void Restart() => Interlocked.Exchange(ref _peak, 0);

        public static long Resident() =>
            long.Parse(File.ReadAllText("/proc/self/statm").Split(' ')[1], CultureInfo.InvariantCulture) * Environment.SystemPageSize;

        public void Dispose()
        {
            _isDisposed = true;
            _thread.Join();
        }
    }
}

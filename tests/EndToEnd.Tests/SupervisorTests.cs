using System.Globalization;

namespace Ndif.EndToEnd.Tests;

/// <summary>The supervisor of a worker, with real processes.</summary>
public sealed class SupervisorTests(ITestOutputHelper output) : IAsyncDisposable
{
    private readonly ServiceCluster _services = new();

    public ValueTask DisposeAsync()
    {
        if (TestContext.Current.TestState?.Result is TestResult.Failed) output.WriteLine(_services.Report());
        return _services.DisposeAsync();
    }

    [Fact]
    public async Task AWorkerThatIsKilled_IsStartedAgain_AndASignalToStopEndsBoth()
    {
        await _services.StartRedisAsync();
        ChildProcess worker = await _services.StartSupervisedWorkerAsync("w1");
        int first = await FindChildAsync(worker.Id);
        Kill(first);
        int second = await Poll.UntilAsync(() => Task.FromResult(FindChild(worker.Id)), child => child != 0 && child != first);
        await worker.WaitForLineAsync(line => line.Contains("signal 9. It is started again", StringComparison.Ordinal));
        await Poll.UntilAsync(() => Task.FromResult(worker.Lines.Count(line => line.StartsWith("worker w1", StringComparison.Ordinal))),
            count => count == 2);
        Assert.Equal(0, await worker.TerminateAsync());
        Assert.False(Directory.Exists($"/proc/{second}"));
    }

    [Fact]
    public async Task AWorkerWhoseSupervisorIsKilled_Stops()
    {
        await _services.StartRedisAsync();
        ChildProcess supervisor = await _services.StartSupervisedWorkerAsync("w1");
        int worker = await FindChildAsync(supervisor.Id);
        supervisor.Kill();
        await Poll.UntilAsync(() => Task.FromResult(Directory.Exists($"/proc/{worker}")), exists => !exists);
    }

    [Fact]
    public async Task AWrongOption_IsNotTriedAgain()
    {
        await _services.StartRedisAsync();
        await using ChildProcess worker = _services.StartTool("worker", "--redis", _services.RedisAddress, "--wall-seconds", "-1");
        Assert.Equal(1, await worker.WaitForExitAsync());
        Assert.Contains("--wall-seconds must be more than 0", worker.Errors, StringComparison.Ordinal);
    }

    private static Task<int> FindChildAsync(int parent) => Poll.UntilAsync(() => Task.FromResult(FindChild(parent)), child => child != 0);

    private static int FindChild(int parent)
    {
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out int process)) continue;
            try
            {
                string afterName = File.ReadAllText($"{folder}/stat").Split(')')[^1]; // " S 123 ...": state, parent
                if (afterName.Split(' ')[2] == parent.ToString(CultureInfo.InvariantCulture)) return process;
            }
            catch (IOException)
            {
                // the process has ended
            }
        }
        return 0;
    }

    private static void Kill(int process) => System.Diagnostics.Process.GetProcessById(process).Kill();
}

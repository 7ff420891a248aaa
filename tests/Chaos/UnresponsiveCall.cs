using System.Diagnostics;
using Ndif.Protocol;

namespace Ndif.Chaos;

/// <summary>
/// A fault: a job holds its worker in a native call, and does not react when it is cancelled. Its constant is on a disk that does not
/// answer: while the job runs, the file becomes a FIFO that nobody writes to. The worker has to end, and to give its other jobs back.
/// </summary>
internal static class UnresponsiveCall
{
    private const int Elements = 308_641; // a size that no other blob has

    public static async Task InjectAsync(ChaosCluster cluster)
    {
        var remote = Backend.At($"http://127.0.0.1:{cluster.GatewayProxies[0].Port}", cluster.Key);
        Job job = await RetryAsync(() => SubmitAsync(remote));
        JobInfo info = await WaitAsync(job, info => info.State is JobState.Running || info.State.IsTerminal());
        string? blob = Directory.EnumerateFiles(Path.Combine(cluster.Data, "blobs"), "*", SearchOption.AllDirectories)
            .FirstOrDefault(file => new FileInfo(file).Length == sizeof(float) * Elements);
        if (blob is not null)
        {
            File.Delete(blob);
            using (Process make = Process.Start("mkfifo", [blob])) await make.WaitForExitAsync();
            await Task.Delay(TimeSpan.FromSeconds(3)); // the operations before it take about a second
            await RetryAsync(() => job.CancelAsync());
            if (cluster.FindWorker(info.Worker) is { } worker)
                await Task.WhenAny(worker.WaitForExitAsync(), Task.Delay(TimeSpan.FromSeconds(20))); // it may have ended before its turn
            File.Delete(blob);
        }
        await RetryAsync(() => job.DeleteAsync());
    }

    private static async Task<Job> SubmitAsync(Backend remote)
    {
        var llm = new LanguageModel(Experiments.Model, remote: remote);
        Trace trace = llm.Trace("The Eiffel Tower");
        Value value = llm["transformer.h.1"].Hidden[0, 0, 0] * 0 + TensorData.FromArray(new float[1024 * 1024], 1024, 1024);
        for (int i = 0; i < 500; i++) value = value * 1.000001;
        (value[0, 0] + TensorData.FromArray(new float[Elements], Elements)).Sum().Save("late");
        return await trace.SubmitAsync();
    }

    private static async Task<JobInfo> WaitAsync(Job job, Func<JobInfo, bool> condition)
    {
        while (true)
        {
            JobInfo info = await RetryAsync(() => job.GetAsync());
            if (condition(info)) return info;
            await Task.Delay(TimeSpan.FromMilliseconds(20));
        }
    }

    /// <summary>Calls again while the service, which may still recover from the fault before, cannot be reached.</summary>
    private static async Task<T> RetryAsync<T>(Func<Task<T>> call)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await call();
            }
            catch (NdifException lost) when (lost.Code is ErrorCode.Unavailable && attempt < 20)
            {
                await Task.Delay(TimeSpan.FromSeconds(1));
            }
        }
    }
}

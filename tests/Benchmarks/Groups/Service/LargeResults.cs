using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;

namespace Ndif.Benchmarks.Groups.Service;

/// <summary>
/// One job saves 2 GB as distinct tensors of 32 MiB, and this process receives them. The group measures the largest growth of the resident
/// memory of gateway and worker, and the throughput from the submission to the last byte, including checksums. The baseline is the same
/// number of bytes over a .NET socket into the same number of new arrays, which are all kept.
/// </summary>
internal static class LargeResults
{
    private const int Rows = 2048, Columns = 4096;
    private const long TensorBytes = 4L * Rows * Columns;

    public static async Task<IReadOnlyList<Measurement>> Measure(RunSettings settings, CancellationToken cancellationToken)
    {
        int tensors = settings.IsQuick ? 16 : 60; // 60 x 32 MiB = 2.01 GB
        await using BenchmarkCluster service = await BenchmarkCluster.StartAsync();
        BenchmarkUser user = await service.NewUserAsync();
        Backend remote = Backend.At(service.Address.ToString(), user.Key);
        await RunAsync(remote, tensors, cancellationToken); // warm-up: code is compiled and the page cache has its memory
        DeleteBlobs(service);
        double gateway = ResidentMemory.Current(service.Gateway), worker = ResidentMemory.Current(service.Worker);
        ResidentMemory.ResetPeak(service.Gateway);
        ResidentMemory.ResetPeak(service.Worker);

        List<double> ratios = [], jobSeconds = [], socketSeconds = [], downloadSeconds = [];
        for (int round = 0; round < (settings.IsQuick ? 3 : 5); round++)
        {
            long from = Stopwatch.GetTimestamp();
            await CopyAsync(tensors, cancellationToken);
            socketSeconds.Add(Stopwatch.GetElapsedTime(from).TotalSeconds);
            from = Stopwatch.GetTimestamp();
            Job job = await RunAsync(remote, tensors, cancellationToken);
            jobSeconds.Add(Stopwatch.GetElapsedTime(from).TotalSeconds);
            from = Stopwatch.GetTimestamp();
            await job.WaitAsync(cancellationToken);
            downloadSeconds.Add(Stopwatch.GetElapsedTime(from).TotalSeconds);
            ratios.Add(socketSeconds[^1] / jobSeconds[^1]);
            DeleteBlobs(service);
        }
        double bytes = tensors * TensorBytes;
        string size = $"{bytes / 1e9:0.00} GB saved by one job, again and again",
            socket = $"a socket's {bytes / socketSeconds.Min() / 1e9:0.00} GB/s (best of {socketSeconds.Count})";
        return
        [
            new("service.big results, gateway's growth", (ResidentMemory.Peak(service.Gateway) - gateway) / 1e6, "MB",
                $"{size}; {gateway / 1e6:0} MB before", new Goal(100)),
            new("service.big results, worker's growth", (ResidentMemory.Peak(service.Worker) - worker) / 1e6, "MB",
                $"{size}; {worker / 1e6:0} MB before", new Goal(100)),
            new("service.big results, throughput", socketSeconds.Min() / jobSeconds.Min(), "of a socket's",
                $"{socket}; ours {bytes / jobSeconds.Min() / 1e9:0.00} GB/s from the submission to the last byte; by rounds "
                + $"{string.Join(", ", ratios.Select(r => $"{r:0.00}"))}", Goal.AtLeast(0.6)),
            new("service.big results, download", socketSeconds.Min() / downloadSeconds.Min(), "of a socket's",
                $"{socket}; the values of the job that has ended, fetched once more: {bytes / downloadSeconds.Min() / 1e9:0.00} GB/s"),
        ];
    }

    /// <summary>Deletes the stored results, as their expiry does, so that each round has the same free space.</summary>
    private static void DeleteBlobs(BenchmarkCluster service)
    {
        foreach (string blob in Directory.EnumerateDirectories(Path.Combine(service.DataFolder, "blobs"))
            .SelectMany(Directory.EnumerateFiles)) File.Delete(blob);
    }

    /// <summary>Runs the experiment and receives all values.</summary>
    private static async Task<Job> RunAsync(Backend remote, int tensors, CancellationToken cancellationToken)
    {
        var llm = new LanguageModel("ndif/tiny-landmarks", remote: remote);
        using Trace trace = llm.Trace("Big Ben is in");
        Value column = TensorData.FromArray(Enumerable.Range(1, Rows).Select(i => (float)i).ToArray(), Rows, 1);
        Value row = TensorData.FromArray(Enumerable.Range(1, Columns).Select(i => 1f / i).ToArray(), 1, Columns);
        row += llm.Layers[0].Hidden[0, 0, 0] * 0;
        row += (float)Random.Shared.NextDouble(); // different from the last round, because equal content is stored once
        List<Saved> saves = [.. Enumerable.Range(1, tensors).Select(i => (column * (row * i)).Save())];
        string id = "";
        Job job = await trace.SubmitAsync(cancellationToken);
        id = job.Id;
        await job.WaitAsync(cancellationToken);
        if (saves.Any(saved => saved.Tensor.Bytes.Length != TensorBytes)) throw new InvalidOperationException("A value is missing.");
        return await Job.AttachAsync(id, remote, cancellationToken);
    }

    /// <summary>The baseline: a local socket connection. The received arrays are kept until the end, as the values of a job are.</summary>
    private static async Task CopyAsync(int arrays, CancellationToken cancellationToken)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using var sender = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await sender.ConnectAsync(listener.LocalEndPoint!, cancellationToken);
        using Socket receiver = await listener.AcceptAsync(cancellationToken);
        byte[] source = GC.AllocateUninitializedArray<byte>((int)TensorBytes);
        Task sending = Task.Run(async () =>
        {
            for (int i = 0; i < arrays; i++)
                for (int at = 0; at < source.Length; at += 1 << 20) await sender.SendAsync(source.AsMemory(at, 1 << 20), cancellationToken);
        }, cancellationToken);
        var received = new byte[arrays][];
        for (int i = 0; i < arrays; i++)
        {
            byte[] target = received[i] = GC.AllocateUninitializedArray<byte>((int)TensorBytes);
            for (int at = 0; at < target.Length;) at += await receiver.ReceiveAsync(target.AsMemory(at), cancellationToken);
        }
        await sending;
        GC.KeepAlive(received);
    }
}

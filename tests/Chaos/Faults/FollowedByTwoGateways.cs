using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Protocol;

namespace Ndif.Chaos.Faults;

/// <summary>
/// A client follows one job on streams of both gateways, and the gateway of the first one is killed: the other stream goes on to the end of
/// the job, and the job is not cancelled.
/// </summary>
internal sealed class FollowedByTwoGateways(ChaosCluster cluster, Random random)
{
    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(60);

    /// <summary>The jobs that were accepted here; no client process knows them.</summary>
    public int Jobs { get; private set; }

    public List<string> Violations { get; } = [];

    /// <summary>
    /// A stream that a gateway ends as unavailable, because it cannot reach Redis at the moment, says nothing about the kill: another job
    /// is followed then, three times at most.
    /// </summary>
    public async Task InjectAsync()
    {
        int victim = random.Next(ChaosCluster.Gateways);
        Workload work = Workload.ReadAll(cluster.Folder).First(workload => workload.Name == "slow-120");
        using GrpcChannel first = OpenChannel(victim), second = OpenChannel((victim + 1) % ChaosCluster.Gateways);
        for (int attempt = 1; ; attempt++)
        {
            string id = $"followed-{Guid.NewGuid():N}";
            using var over = new CancellationTokenSource(_timeout);
            try
            {
                await FollowAsync(first, second, victim, id, work, over.Token);
                return;
            }
            catch (RpcException lost) when (ClientProcess.IsTransient(lost) && attempt < 3)
            {
                await Task.Delay(TimeSpan.FromSeconds(1));
                await cluster.RestartDeadProcessesAsync();
            }
            catch (Exception failure) when (failure is RpcException or OperationCanceledException)
            {
                Violations.Add($"{id}: the stream of the gateway that lives broke: {failure.Message}");
                return;
            }
        }
    }

    private async Task FollowAsync(GrpcChannel first, GrpcChannel second, int victim, string id, Workload work,
        CancellationToken cancellationToken)
    {
        var run = new RunRequest { Submit = new SubmitRequest { Program = work.Program, JobId = id } };
        using AsyncDuplexStreamingCall<RunRequest, Event> one = await StartAsync(first, run, cancellationToken);
        Jobs++;
        using AsyncDuplexStreamingCall<RunRequest, Event> other = await StartAsync(second, run, cancellationToken);
        ChildProcess gateway = cluster.Gateway(victim);
        gateway.Kill();
        await gateway.WaitForExitAsync();
        Event last = other.ResponseStream.Current;
        while (!last.IsTerminal() && await other.ResponseStream.MoveNext(cancellationToken)) last = other.ResponseStream.Current;
        if (last.State?.State != JobState.Completed) Violations.Add($"{id}: followed by two gateways, it ended with {last}");
    }

    private async Task<AsyncDuplexStreamingCall<RunRequest, Event>> StartAsync(
        GrpcChannel channel, RunRequest run, CancellationToken cancellationToken)
    {
        AsyncDuplexStreamingCall<RunRequest, Event> call = new Inference.InferenceClient(channel).Run(
            new Metadata { { "authorization", $"Bearer {cluster.Key}" } }, cancellationToken: cancellationToken);
        await call.RequestStream.WriteAsync(run, cancellationToken);
        await call.ResponseStream.MoveNext(cancellationToken);
        return call;
    }

    private GrpcChannel OpenChannel(int gateway) => GrpcChannel.ForAddress(
        $"http://127.0.0.1:{cluster.GatewayProxies[gateway].Port}", new GrpcChannelOptions { MaxReceiveMessageSize = null });
}

using System.Diagnostics;
using Grpc.Core;
using Grpc.Net.Client;
using Grpc.Reflection.V1Alpha;
using Ndif.Benchmarks.Fixtures;
using Ndif.Protocol;
using Ndif.Tests.Support;

namespace Ndif.Benchmarks.Groups.Isolation;

/// <summary>
/// The child process that attacks a service until its standard input ends, and then prints how many of its actions succeeded. It has a
/// low priority, because the clients of a real service do not take processor time from it.
/// </summary>
internal sealed class Attacker : IDisposable
{
    private readonly GrpcChannel _channel;

    private Attacker(Uri grpc, Uri http, BenchmarkUser user)
    {
        (Address, User, _channel) = (grpc, user, BenchmarkCluster.Connect(grpc));
        Http = new HttpClient { BaseAddress = http };
        Calls = new Inference.InferenceClient(_channel);
        Reflection = new ServerReflection.ServerReflectionClient(_channel);
        Model = new LanguageModel("ndif/tiny-landmarks", remote: Backend.At(grpc.ToString(), user.Key));
    }

    public Uri Address { get; }

    public BenchmarkUser User { get; }

    public LanguageModel Model { get; }

    public Inference.InferenceClient Calls { get; }

    public ServerReflection.ServerReflectionClient Reflection { get; }

    public HttpClient Http { get; }

    /// <summary>Starts the child process, and returns when it attacks.</summary>
    public static async Task<ChildProcess> StartAsync(BenchmarkCluster service, Attack attack, BenchmarkUser user)
    {
        ChildProcess process = service.StartProgram("attacker", typeof(Attacker).Assembly.Location,
            ["--attack", attack.Name, service.Address.ToString(), service.HttpAddress.ToString(), user.Id, user.Key]);
        await process.WaitForLineAsync(line => line == "attacks");
        return process;
    }

    /// <summary>The main method of the child process.</summary>
    public static async Task<int> RunAsync(string[] arguments)
    {
        using (Process self = Process.GetCurrentProcess()) self.PriorityClass = ProcessPriorityClass.BelowNormal;
        Attack attack = Attack.All.Single(attack => attack.Name == arguments[0]);
        using var attacker = new Attacker(new Uri(arguments[1]), new Uri(arguments[2]), new BenchmarkUser(arguments[3], arguments[4]));
        using var end = new CancellationTokenSource();
        Task<(int Succeeded, int Failed, string LastError)[]> clients =
            Task.WhenAll(Enumerable.Range(0, attack.Clients).Select(_ => Task.Run(() => attacker.RepeatAsync(attack, end.Token))));
        Console.WriteLine("attacks");
        while (await Console.In.ReadLineAsync() is not null) { }
        await end.CancelAsync();
        (int Succeeded, int Failed, string LastError)[] results = await clients;
        Console.WriteLine($"{results.Sum(client => client.Succeeded)} actions succeeded, {results.Sum(client => client.Failed)} failed"
            + (results.FirstOrDefault(client => client.Failed > 0).LastError is { } error ? $": {error}" : ""));
        return 0;
    }

    private async Task<(int Succeeded, int Failed, string LastError)> RepeatAsync(Attack attack, CancellationToken cancellationToken)
    {
        (int succeeded, int failed, string lastError) = (0, 0, "");
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                await attack.ActAsync(this, cancellationToken);
                succeeded++;
            }
            catch (Exception e) when (e is NdifException or RpcException or HttpRequestException or OperationCanceledException)
            {
                if (cancellationToken.IsCancellationRequested) break;
                (failed, lastError) = (failed + 1, e.Message);
            }
        }
        return (succeeded, failed, lastError);
    }

    public void Dispose()
    {
        _channel.Dispose();
        Http.Dispose();
    }
}

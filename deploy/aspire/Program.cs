// A service for development: Redis, a gateway and two workers, with their logs, traces and metrics in the dashboard of .NET Aspire.
//   dotnet run -c Release --project deploy/aspire
// Redis is the redis-server of this machine, so that no container engine is needed.
using System.Net.Sockets;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;

IDistributedApplicationBuilder builder = DistributedApplication.CreateBuilder(args);
string data = Directory.CreateTempSubdirectory("ndif-aspire-").FullName;

IResourceBuilder<ExecutableResource> redis = builder
    .AddExecutable("redis", "redis-server", data, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
        "--maxmemory-policy", "noeviction")
    .WithEndpoint(name: "tcp", port: 6380, protocol: ProtocolType.Tcp, isProxied: false)
    .WithArgs("--port", "6380");

builder.AddProject<Projects.Cli>("gateway", options => options.ExcludeLaunchProfile = true)
    .WithArgs("serve", "--redis", "127.0.0.1:6380", "--data", data, "--no-keys") // on the loopback address only
    .WithHttpEndpoint(name: "grpc", port: 5080, isProxied: false)
    .WithHttpEndpoint(name: "http", port: 5081, isProxied: false)
    .WithHttpHealthCheck("/healthz", endpointName: "http")
    .WaitForStart(redis);

foreach (int number in (int[])[1, 2])
{
    int port = 5082 + number;
    builder.AddProject<Projects.Cli>($"worker{number}", options => options.ExcludeLaunchProfile = true)
        .WithArgs("worker", "--redis", "127.0.0.1:6380", "--data", data, "--id", $"worker{number}", "--metrics-port", $"{port}")
        .WithHttpEndpoint(name: "monitoring", port: port, isProxied: false)
        .WithHttpHealthCheck("/readyz", endpointName: "monitoring")
        .WaitForStart(redis);
}

try
{
    builder.Build().Run(); // returns when its processes have ended
}
finally
{
    Directory.Delete(data, recursive: true);
}

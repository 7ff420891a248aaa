using System.CommandLine;
using Microsoft.AspNetCore.Builder;
using Ndif.Cli.Commands;
using Ndif.Queue;
using Ndif.Server;
using Ndif.Server.Keys;

namespace Ndif.Cli.Tests;

public sealed class KeyAdministrationTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task WithoutSwitches_TheServiceAtTheDefaultAddressIsAsked_IfOneAnswers()
    {
        await using QueueBackend backend = QueueBackend.InMemory();
        var options = new GatewayOptions { GrpcPort = 0, HttpPort = 0 };
        await using WebApplication gateway = GatewayHost.Build(options, backend, new FileKeyStore(_folder.File("keys.json")));
        await gateway.StartAsync(TestContext.Current.CancellationToken);
        string host = GatewayHost.GetAddress(gateway).Grpc.ToString(), dashboard = GatewayHost.GetAddress(gateway).Http.ToString();

        (string place, string note) = await RunAsync(host);
        Assert.Equal(host, place); // it answers, although there is no key
        Assert.Contains($"the service that answers at {host}", note, StringComparison.Ordinal);
        (place, note) = await RunAsync(host, "--data", _folder.Path);
        Assert.Equal((_folder.Path, ""), (place, note));
        (place, note) = await RunAsync("http://127.0.0.1:9", "--host", host);
        Assert.Equal((host, ""), (place, note));
        foreach (string other in (string[])["http://127.0.0.1:9", dashboard]) // nothing, and something else
        {
            (place, note) = await RunAsync(other);
            Assert.Equal($"No service answers at {other}: the keys are those of the folder {place}.", note);
        }
        await gateway.StopAsync(TestContext.Current.CancellationToken);
    }

    private static async Task<(string Place, string Note)> RunAsync(string defaultHost, params string[] switches)
    {
        using var notes = new StringWriter();
        var administration = new KeyAdministration(defaultHost, notes);
        var command = new Command("keys");
        administration.AddTo(command);
        string place = "";
        await administration.RunAsync(command.Parse(switches), keys =>
        {
            place = keys.Place;
            return Task.CompletedTask;
        });
        return (place, notes.ToString().Trim());
    }
}

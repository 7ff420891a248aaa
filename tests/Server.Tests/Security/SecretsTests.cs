using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Server.Tests;

/// <summary>No line of any level, of whatever library, holds a key or what a user sent.</summary>
public sealed class SecretsTests
{
    [Fact]
    public async Task Keys_AndWhatUsersSend_AreInNoLog_AtAnyLevel()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.Work();
        CreatedKey ada = await gateway.KeyAsync("ada", [Scopes.Run, Scopes.Admin]), revoked = await gateway.KeyAsync("gone");
        await gateway.Keys.RevokeAsync(revoked.Record.Id, TestGateway.Cancel);
        string wrong = ada.Key.Reveal()[..14] + ApiKey.New().Reveal()[14..], made;
        Inference.InferenceClient client = gateway.Client(ada.Key.Reveal());
        CancellationToken cancel = TestGateway.Cancel;

        SubmitRequest submission = TestModels.Submit("echo", "told");
        submission.Program.Nodes[0].Trace.Invokes[0].Input.Prompts[0] = "my-secret-prompt";
        submission.Program.Constants.Add(new Tensor { Dtype = DataType.Uint8, Shape = { 18 }, Inline = ByteString.CopyFromUtf8("my-secret-constant") });
        await client.SubmitAsync(submission, cancellationToken: cancel);
        await Expect.EndAsync(gateway.Backend.Jobs, "told");
        using (var run = client.Run(cancellationToken: cancel))
        {
            await run.RequestStream.WriteAsync(new RunRequest { Submit = submission }, cancel);
            await Expect.AllAsync(run.ResponseStream);
        }
        made = (await new Protocol.Admin.AdminClient(gateway.Invoker(ada.Key.Reveal())).CreateKeyAsync(new CreateKeyRequest { Name = "new" }, cancellationToken: cancel)).Secret;
        foreach (string key in (string[])[wrong, revoked.Key.Reveal(), made + "x", $"{made} {made}", "my-secret-password"])
            await Expect.FailureAsync(StatusCode.Unauthenticated, async () => await gateway.Client(key).ListJobsAsync(new ListJobsRequest(), cancellationToken: cancel));
        using (HttpClient http = gateway.Http(ada.Key.Reveal()))
        {
            await http.GetAsync(new Uri($"/v1/blobs/{new string('a', 64)}", UriKind.Relative), cancel);
            await http.PutAsync(new Uri($"/v1/blobs/{new string('a', 64)}", UriKind.Relative), new StringContent("my-secret-content"), cancel);
        }

        string log = gateway.Lines.Everything();
        Assert.Contains("told", log, StringComparison.Ordinal);
        Assert.Contains(gateway.Lines.Events, line => line.Level < Serilog.Events.LogEventLevel.Information);
        foreach (string key in (string[])[ada.Key.Reveal(), revoked.Key.Reveal(), wrong, made])
            Assert.DoesNotContain(key.Split('_', 3)[2], log, StringComparison.Ordinal);
        Assert.DoesNotContain("my-secret", log, StringComparison.Ordinal);
        string file = await File.ReadAllTextAsync(Path.Combine(gateway.Folder, "keys.json"), cancel);
        Assert.DoesNotContain(ada.Key.Reveal().Split('_', 3)[2], file, StringComparison.Ordinal);
    }
}

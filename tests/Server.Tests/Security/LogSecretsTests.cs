using Google.Protobuf;
using Grpc.Core;
using Ndif.Protocol;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>No log message of any level and library contains a key or data of a user.</summary>
public sealed class LogSecretsTests
{
    [Fact]
    public async Task Keys_AndWhatUsersSend_AreInNoLog_AtAnyLevel()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        CreatedKey ada = await gateway.CreateKeyAsync("ada", [Scopes.Run, Scopes.Admin]), revoked = await gateway.CreateKeyAsync("gone");
        await gateway.Keys.RevokeAsync(revoked.Record.Id, TestGateway.Cancel);
        string wrong = ada.Key.Reveal()[..14] + ApiKey.New().Reveal()[14..], made;
        Inference.InferenceClient client = gateway.CreateClient(ada.Key.Reveal());
        CancellationToken cancel = TestGateway.Cancel;

        SubmitRequest submission = TestModels.Submit("echo", "told");
        submission.Program.Nodes[0].Trace.Invokes[0].Input.Prompts[0] = "my-secret-prompt";
        submission.Program.Constants.Add(
            new Tensor { Dtype = DataType.Uint8, Shape = { 18 }, Inline = ByteString.CopyFromUtf8("my-secret-constant") });
        await client.SubmitAsync(submission, cancellationToken: cancel);
        await gateway.WaitForEndAsync("told");
        using (var run = client.Run(cancellationToken: cancel))
        {
            await run.RequestStream.WriteAsync(new RunRequest { Submit = submission }, cancel);
            await GrpcAssert.ReadAllAsync(run.ResponseStream);
        }
        made = (await new Protocol.Admin.AdminClient(gateway.CreateInvoker(ada.Key.Reveal())).CreateKeyAsync(
            new CreateKeyRequest { Name = "new" }, cancellationToken: cancel)).Secret;
        foreach (string key in (string[])[wrong, revoked.Key.Reveal(), made + "x", $"{made} {made}", "my-secret-password"])
            await GrpcAssert.FailsAsync(StatusCode.Unauthenticated,
                async () => await gateway.CreateClient(key).ListJobsAsync(new ListJobsRequest(), cancellationToken: cancel));
        using (HttpClient http = gateway.CreateHttpClient(ada.Key.Reveal()))
        {
            await http.GetAsync(new Uri($"/v1/blobs/{new string('a', 64)}", UriKind.Relative), cancel);
            await http.PutAsync(
                new Uri($"/v1/blobs/{new string('a', 64)}", UriKind.Relative), new StringContent("my-secret-content"), cancel);
        }

        string log = gateway.Log.RenderAll();
        Assert.Contains("told", log, StringComparison.Ordinal);
        Assert.Contains(gateway.Log.Events, line => line.Level < Serilog.Events.LogEventLevel.Information);
        foreach (string key in (string[])[ada.Key.Reveal(), revoked.Key.Reveal(), wrong, made])
            Assert.DoesNotContain(key.Split('_', 3)[2], log, StringComparison.Ordinal);
        Assert.DoesNotContain("my-secret", log, StringComparison.Ordinal);
        string file = await File.ReadAllTextAsync(Path.Combine(gateway.Folder, "keys.json"), cancel);
        Assert.DoesNotContain(ada.Key.Reveal().Split('_', 3)[2], file, StringComparison.Ordinal);
    }
}

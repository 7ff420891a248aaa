using Grpc.Core;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using Ndif.Protocol.Programs;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

/// <summary>ListModels, DescribeModel, GetStatus and GetCapabilities.</summary>
public sealed class ModelsTests
{
    [Fact]
    public async Task ListModels_ShowsHeatAndLoad()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await client.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);

        ModelStatus model = Assert.Single(
            (await client.ListModelsAsync(new ListModelsRequest(), cancellationToken: TestGateway.Cancel)).Models);

        Assert.Equal((TestGateway.Model, Heat.Hot, 1u, 1u, 0u), (model.Id, model.Heat, model.Replicas, model.Waiting, model.Running));
    }

    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 1)]
    public async Task DescribeModel_TellsTheTree_AndFilesOnlyIfAsked(bool files, int count)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        ModelDescription model = await (await gateway.CreateClientAsync()).DescribeModelAsync(
            new DescribeModelRequest { Id = TestGateway.Model, Files = files }, cancellationToken: TestGateway.Cancel);

        Assert.Equal("lm_head", Assert.Single(model.Root.Children).Name);
        Assert.Equal(count, model.Files.Count);
    }

    [Fact]
    public async Task DescribeModel_KnowsRevisions()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        var request = new DescribeModelRequest { Id = TestGateway.Model, Revision = "607a30d" };
        Assert.Equal("607a30d", (await client.DescribeModelAsync(request, cancellationToken: TestGateway.Cancel)).Revision);

        request.Revision = "other";
        Error error = await GrpcAssert.FailsAsync(
            StatusCode.NotFound, async () => await client.DescribeModelAsync(request, cancellationToken: TestGateway.Cancel));
        Assert.Equal(ErrorCode.UnknownModel, error.Code);
    }

    [Fact]
    public async Task GetStatus_ShowsWorkers_ButNotTheirJobs()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        ServiceStatus status = await (await gateway.CreateClientAsync()).GetStatusAsync(
            new GetStatusRequest(), cancellationToken: TestGateway.Cancel);

        Assert.Equal([""], Assert.Single(status.Workers).Jobs);
        Assert.NotEmpty(status.Version);
    }

    [Fact]
    public async Task GetCapabilities_TellsOpsAndLimits()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(nodes: 77, jobsInFlight: 3));
        Capabilities capabilities = await (await gateway.CreateClientAsync()).GetCapabilitiesAsync(
            new GetCapabilitiesRequest(), cancellationToken: TestGateway.Cancel);

        Assert.Equal(OpTable.Rows.Keys.Order(StringComparer.Ordinal), capabilities.Ops);
        Assert.Equal(ProgramFormat.Features, capabilities.Features);
        Assert.Equal((1u, 77u, 3u), (capabilities.ProgramVersion, capabilities.Limits.Nodes, capabilities.Limits.JobsInFlight));
    }
}

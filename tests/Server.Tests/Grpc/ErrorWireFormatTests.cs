using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Ndif.Protocol;
using Ndif.Server.Grpc;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

public sealed class ErrorWireFormatTests
{
    [Fact]
    public void EveryCode_HasAStatusOfItsOwnKind()
    {
        foreach (ErrorCode code in Enum.GetValues<ErrorCode>())
        {
            StatusCode status = ErrorWireFormat.GetGrpcStatus(code);
            Assert.NotEqual(StatusCode.OK, status);
            Assert.NotEqual(StatusCode.Unknown, status);
            Assert.Equal(code is ErrorCode.Internal or ErrorCode.Unspecified, status == StatusCode.Internal);
            Assert.InRange(ErrorWireFormat.GetHttpStatus(code), 400, 599);
            // a caller that does not wait for its answer is no error of the service, and no reason for the alert NdifGatewayErrors
            Assert.Equal(code is ErrorCode.JobCancelled, ErrorWireFormat.GetHttpStatus(code) == StatusCodes.Status499ClientClosedRequest);
        }
    }

    [Fact]
    public void LongTexts_AreCutToFitIntoHeaders()
    {
        RpcException rpc = ErrorWireFormat.ToRpcException(
            Errors.Create(ErrorCode.UnknownOp, new string('é', 1_000_000), new string('x', 1_000_000)));

        Assert.InRange(rpc.Trailers.GetValueBytes(ErrorWireFormat.Trailer)!.Length, 1, 16_000);
        Assert.InRange(rpc.Status.Detail.Length, 1, 2001);
    }

    [Fact]
    public async Task UnexpectedFailure_HidesItsCause_AndNamesALine_InTheLog()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(
            configure: backend => backend with { Deployments = new FailingDeployments(new InvalidOperationException("the secret cause")) });
        Inference.InferenceClient client = await gateway.CreateClientAsync();

        Error error = await GrpcAssert.FailsAsync(
            StatusCode.Internal,
            async () => await client.SubmitAsync(TestModels.Submit("echo", model: "unknown"), cancellationToken: TestGateway.Cancel));

        Assert.Equal(ErrorCode.Internal, error.Code);
        Assert.DoesNotContain("secret cause", error.ToString(), StringComparison.Ordinal);
        string id = error.Message.Split("(error ")[1].TrimEnd('.', ')');
        Assert.Contains(gateway.Log.Events,
            line => LogCapture.GetText(line).Contains(id, StringComparison.Ordinal) && line.Exception!.Message == "the secret cause");
    }
}

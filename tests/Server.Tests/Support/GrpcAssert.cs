using Grpc.Core;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Grpc;

namespace Ndif.Server.Tests.Support;

internal static class GrpcAssert
{
    /// <summary>Returns the typed error in the trailer of a call that must fail. It must agree with the status.</summary>
    public static async Task<Error> FailsAsync(StatusCode status, Func<Task> call)
    {
        RpcException failure = await Assert.ThrowsAsync<RpcException>(call);
        Assert.True(status == failure.StatusCode, failure.ToString());
        byte[]? bytes = failure.Trailers.GetValueBytes(ErrorWireFormat.Trailer);
        Assert.NotNull(bytes);
        Error error = Error.Parser.ParseFrom(bytes);
        Assert.Equal(error.Message, failure.Status.Detail);
        Assert.Equal(status, ErrorWireFormat.GetGrpcStatus(error.Code));
        Assert.EndsWith(".", error.Message, StringComparison.Ordinal);
        return error;
    }

    public static async Task<List<Event>> ReadAllAsync(IAsyncStreamReader<Event> stream)
    {
        var events = new List<Event>();
        while (await stream.MoveNext(TestGateway.Cancel)) events.Add(stream.Current);
        return events;
    }

    public static JobState[] GetStates(IEnumerable<Event> events) => [.. events.Where(e => e.State is not null).Select(e => e.State.State)];
}

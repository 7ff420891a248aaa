namespace Ndif.Server.Grpc;

/// <summary>
/// Counts the Run streams of this gateway by job. A client that lost its connection may return with the same job id before
/// the gateway notices that the old connection is dead. The end of the old stream must not cancel the job then.
/// </summary>
internal sealed class RunStreamTracker : JobReferenceCounts;

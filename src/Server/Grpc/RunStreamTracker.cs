namespace Ndif.Server.Grpc;

/// <summary>
/// How many Run streams of this gateway follow each job. A client that lost its connection may return with the same job id before
/// the gateway notices that the old connection is dead. The end of the old stream must not cancel the job then.
/// </summary>
internal sealed class RunStreamTracker : JobReferenceCounts;

namespace Ndif.Language.Tests.Support;

/// <summary>How an experiment reaches the engine.</summary>
public enum ExecutionMode
{
    /// <summary>In this process.</summary>
    Local,
    /// <summary>In this process, from the serialized program.</summary>
    Loopback,
    /// <summary>Over gRPC, through gateway, queue and worker.</summary>
    Gateway,
}

namespace Ndif.Language.Tests.Support;

/// <summary>How an experiment comes to the engine.</summary>
public enum ExecutionMode
{
    /// <summary>In this process.</summary>
    Local,
    /// <summary>In this process, from the bytes that would have been sent.</summary>
    Loopback,
    /// <summary>Over gRPC, through gateway, queue and worker.</summary>
    Gateway,
}

namespace Ndif.Engine.Interleaving;

/// <summary>
/// Unwinds the forward pass when no invoke needs the rest of it. Caught where the pass was started, and never visible to a user.
/// </summary>
internal sealed class EarlyStopException : Exception;

using Ndif.Protocol;

namespace Ndif.Server.Admission;

/// <summary>The programs that this service can run: the validator, the op table, and the supported format and features.</summary>
/// <param name="Validate">
/// Validates a program against a model and limits, before it is queued; returns null if it is valid. The model is null if no worker has
/// published its description yet. (<c>ProgramValidator.Validate</c>)
/// </param>
/// <param name="Ops">The op names that GetCapabilities returns.</param>
/// <param name="Version">The newest supported version of the program format.</param>
/// <param name="Features">The names of the features that a program may require.</param>
public sealed record ProgramRules(
    Func<Program, ModelDescription?, ProgramLimits, Error?> Validate, IReadOnlyList<string> Ops, uint Version,
    IReadOnlyList<string> Features);

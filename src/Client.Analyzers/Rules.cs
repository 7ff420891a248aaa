using Microsoft.CodeAnalysis;

namespace Ndif.Client.Analyzers;

/// <summary>The rules, as docs/reference/analyzers.md explains them. An id is never used for another rule.</summary>
internal static class Rules
{
#pragma warning disable RS2008 // docs/reference/analyzers.md lists the rules
    public static readonly DiagnosticDescriptor TraceNeverRun = Rule("NDIF101", "A trace is run", DiagnosticSeverity.Warning,
        "This {0} is recorded and never run: call `await {1}.RunAsync()` after the last operation. Disposing does not run it.");

    public static readonly DiagnosticDescriptor CompoundAssignment = Rule("NDIF102", "A compound assignment to a variable edits nothing",
        DiagnosticSeverity.Error,
        "`{0}` assigns a new value to the variable `{1}` and changes nothing in the model; in PyTorch it edits in place. "
        + "To edit in place, write `{1}[..] = {2}`. To compute a new value, write `{1} = {2}`.");

    public static readonly DiagnosticDescriptor Equality = Rule("NDIF103", "== compares references of values", DiagnosticSeverity.Warning,
        "`{0}` compares references, not elements. {1}.");

    public static readonly DiagnosticDescriptor Condition = Rule("NDIF104", "A value is no condition of C#", DiagnosticSeverity.Error,
        "`{0}` is known only when the trace runs, so C# cannot decide on it. {1}.");

    public static readonly DiagnosticDescriptor AsyncLambda = Rule("NDIF105", "A recorded lambda is not async", DiagnosticSeverity.Error,
        "The lambda of `{0}` is recorded while it runs, and nothing in it has a result to await. Remove `async`, and await what it needs "
        + "before the call.");

    public static readonly DiagnosticDescriptor UnreadSave = Rule("NDIF106", "A save is read", DiagnosticSeverity.Warning,
        "Nothing can read this save: assign it to a variable (`var x = ...Save();`), or give it a name (`Save(\"x\")`) and read it from "
        + "`Job.Results`");

    public static readonly DiagnosticDescriptor LastSave = Rule("NDIF107", "A save of each step is kept", DiagnosticSeverity.Warning,
        "Only the value of the last {0} remains in `{1}`. {2}.");
#pragma warning restore RS2008

    private static DiagnosticDescriptor Rule(string id, string title, DiagnosticSeverity severity, string message) =>
        new(id, title, message.TrimEnd('.'), "Ndif", severity, isEnabledByDefault: true,
            helpLinkUri: $"docs/reference/analyzers.md#{id.ToLowerInvariant()}");
}

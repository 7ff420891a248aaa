using System.Runtime.CompilerServices;

namespace Ndif.Tokenizers.Chat.Scopes;

/// <summary>What one rendering has in common: its limits, its clock, and the variables that the template was given.</summary>
/// <remarks>jinja2/runtime.py, Context</remarks>
internal sealed class RenderContext(RenderBudget budget, TimeProvider time, Dictionary<string, object?> variables)
{
    private const int MaxCalls = 200;

    private int _calls;

    public RenderBudget Budget => budget;

    public TimeProvider Time => time;

    /// <summary>Returns the value of a variable or global function, or <see cref="TemplateFrame.Missing"/>.</summary>
    public object? Resolve(string name) => variables.TryGetValue(name, out object? value) ? value : TemplateFrame.Missing;

    /// <summary>Makes a value that the template sets at its top visible to its blocks and macros.</summary>
    public void Export(string name, object? value) => variables[name] = value;

    /// <summary>Creates the context of a block that sees the names of the scopes around it.</summary>
    public RenderContext Derive(TemplateFrame frame)
    {
        Dictionary<string, object?> derived = new(variables, StringComparer.Ordinal);
        HashSet<string> seen = new(StringComparer.Ordinal);
        for (TemplateFrame? scope = frame; scope is not null; scope = scope.Parent)
        {
            foreach (string name in scope.Symbols.Stores)
            {
                if (!seen.Add(name)) continue;
                object? value = scope.Get(0, scope.Symbols.GetSlot(name));
                if (!ReferenceEquals(value, TemplateFrame.Missing)) derived[name] = value;
            }
        }
        return new RenderContext(budget, time, derived);
    }

    /// <summary>Counts a call of a macro or of a recursive loop until <see cref="LeaveCall"/>.</summary>
    public void EnterCall()
    {
        if (++_calls > MaxCalls) throw new ChatTemplateException($"macros or loops call each other more than {MaxCalls} times");
        EnsureStack();
    }

    public void LeaveCall() => _calls--;

    public static void EnsureStack()
    {
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack()) throw new ChatTemplateException("it is nested too deeply");
    }
}

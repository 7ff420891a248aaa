using System.Collections.Generic;

namespace Ndif.Models.Source;

/// <summary>One operation that was found in a function, as it goes into the generated table.</summary>
internal sealed class OperationEntry(string name, int line, string output, IReadOnlyList<(string? Keyword, string Shape)> inputs)
{
    public string Name { get; } = name;

    /// <summary>In its file, from 1.</summary>
    public int Line { get; } = line;

    /// <summary>The result's shapes in words.</summary>
    public string Output { get; } = output;

    public IReadOnlyList<(string? Keyword, string Shape)> Inputs { get; } = inputs;

    /// <summary>The function of ours that it calls.</summary>
    public InstrumentedFunction? Inside { get; set; }

    /// <summary>An expression for the submodule that it calls, of a module m.</summary>
    public string? Submodule { get; set; }

    /// <summary>The name without its number; empty for a label.</summary>
    public string BaseName { get; set; } = "";

    /// <summary>The name is the submodule's own, which a shared layer takes from its description.</summary>
    public bool IsNamedByChild { get; set; }

    /// <summary>The conditions under which it runs, by index; the complement of an index for a condition that must not hold.</summary>
    public IReadOnlyList<int> Conditions { get; set; } = [];
}

/// <summary>A function's instrumented copy.</summary>
internal sealed class InstrumentedFunction(string table, string code, IReadOnlyList<OperationEntry> rows)
{
    /// <summary>The static field that holds its table, with its class.</summary>
    public string Table { get; } = table;

    /// <summary>The method and its table.</summary>
    public string Code { get; } = code;

    public IReadOnlyList<OperationEntry> Operations { get; } = rows;

    /// <summary>The table is a template, from which each module has its own.</summary>
    public bool IsTemplate { get; set; }
}

namespace Ndif.Tokenizers.Chat;

/// <summary>How a statement ended.</summary>
internal enum Flow { On, Break, Continue }

/// <summary>Something that prints, or sets names.</summary>
internal abstract record Statement
{
    public int Line { get; init; }

    public abstract Flow Run(Scope scope);
}

internal sealed record Plain(string Text) : Statement
{
    public override Flow Run(Scope scope)
    {
        scope.Write(Text);
        return Flow.On;
    }
}

internal sealed record Print(Expression Of) : Statement
{
    public override Flow Run(Scope scope)
    {
        scope.Write(Of.Text(scope));
        return Flow.On;
    }
}

internal sealed record Body(IReadOnlyList<Statement> Statements) : Statement
{
    public override Flow Run(Scope scope)
    {
        foreach (Statement statement in Statements)
        {
            scope.Budget.Step();
            try
            {
                if (statement.Run(scope) is not Flow.On and var flow) return flow;
            }
            catch (ChatTemplateException e) when (!e.Message.StartsWith("line ", StringComparison.Ordinal))
            {
                throw new ChatTemplateException($"line {statement.Line}: {e.Message}", e);
            }
        }
        return Flow.On;
    }
}

internal sealed record If(IReadOnlyList<(Expression Condition, Body Then)> Cases, Body? Else) : Statement
{
    public override Flow Run(Scope scope)
    {
        foreach (var (condition, then) in Cases)
            if (condition.IsTrue(scope)) return then.Run(scope);
        return Else?.Run(scope) ?? Flow.On;
    }
}

internal sealed record Jump(Flow To) : Statement
{
    public override Flow Run(Scope scope) => To;
}

/// <summary>{% set a = x %}, {% set a, b = x %}, {% set ns.a = x %}, or what the block prints.</summary>
internal sealed record Assignment(IReadOnlyList<string> Names, string? Field, Expression? From, Body? Printed, IReadOnlyList<(string Name, Arguments Arguments)> Filters) : Statement
{
    public override Flow Run(Scope scope)
    {
        object? value = From?.Value(scope);
        if (Printed is not null)
        {
            using StringWriter text = new();
            Printed.Run(scope.Inner(text));
            value = text.ToString();
            foreach (var (name, arguments) in Filters) value = Chat.Filters.Apply(name, value, arguments.Positional(scope), arguments.Keywords(scope), scope.Budget);
        }
        if (Field is not null)
        {
            if (scope.Get(Names[0]) is not Namespace space) throw new ChatTemplateException($"'{Names[0]}' is no namespace, so its '{Field}' cannot be set");
            space.Fields[Field] = value;
        }
        else Unpack(Names, value, scope);
        return Flow.On;
    }

    public static void Unpack(IReadOnlyList<string> names, object? value, Scope scope)
    {
        if (names.Count == 1)
        {
            scope.Set(names[0], value);
            return;
        }
        List<object?> items = Values.Items(value);
        if (items.Count != names.Count) throw new ChatTemplateException($"{items.Count} values cannot be given to {names.Count} names");
        for (int i = 0; i < names.Count; i++) scope.Set(names[i], items[i]);
    }
}

internal sealed record For(IReadOnlyList<string> Names, Expression In, Expression? Where, Body Each, Body? Else) : Statement
{
    public override Flow Run(Scope scope)
    {
        object? all = In.Value(scope);
        scope.Budget.Read(all);
        List<object?> items = [.. Values.Items(all)];
        if (Where is not null)
        {
            items.RemoveAll(item =>
            {
                Scope round = scope.Inner();
                Assignment.Unpack(Names, item, round);
                return !Where.IsTrue(round);
            });
        }
        if (items.Count == 0) return Else?.Run(scope) ?? Flow.On;
        for (int i = 0; i < items.Count; i++)
        {
            scope.Budget.Step();
            Scope round = scope.Inner();
            Assignment.Unpack(Names, items[i], round);
            round.Set("loop", Loop(items, i));
            if (Each.Run(round) == Flow.Break) break;
        }
        return Flow.On;
    }

    private static Dictionary<string, object?> Loop(List<object?> items, int at) => new(StringComparer.Ordinal)
    {
        ["index"] = at + 1L, ["index0"] = (long)at, ["first"] = at == 0, ["last"] = at == items.Count - 1, ["length"] = (long)items.Count,
        ["revindex"] = (long)(items.Count - at), ["revindex0"] = items.Count - at - 1L,
        ["previtem"] = at > 0 ? items[at - 1] : new Undefined("previtem"), ["nextitem"] = at + 1 < items.Count ? items[at + 1] : new Undefined("nextitem"),
        ["cycle"] = (Function)((a, _) => a.Count > 0 ? a[at % a.Count] : throw new ChatTemplateException("cycle needs values")),
    };
}

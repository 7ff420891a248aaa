namespace Ndif.Tokenizers.Chat;

/// <summary>How a statement ended.</summary>
internal enum ControlFlow { Next, Break, Continue }

/// <summary>Something that prints, or sets names.</summary>
internal abstract record TemplateStatement
{
    public int Line { get; init; }

    public abstract ControlFlow Execute(TemplateScope scope);
}

internal sealed record TextNode(string Text) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        scope.Write(Text);
        return ControlFlow.Next;
    }
}

internal sealed record OutputNode(TemplateExpression Content) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        scope.Write(Content.EvaluateText(scope));
        return ControlFlow.Next;
    }
}

internal sealed record TemplateBody(IReadOnlyList<TemplateStatement> Statements) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        foreach (TemplateStatement statement in Statements)
        {
            scope.Budget.CountStep();
            try
            {
                if (statement.Execute(scope) is not ControlFlow.Next and var flow) return flow;
            }
            catch (ChatTemplateException e) when (!e.Message.StartsWith("line ", StringComparison.Ordinal))
            {
                throw new ChatTemplateException($"line {statement.Line}: {e.Message}", e);
            }
        }
        return ControlFlow.Next;
    }
}

internal sealed record IfNode(IReadOnlyList<(TemplateExpression Condition, TemplateBody Then)> Cases, TemplateBody? Else) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        foreach (var (condition, then) in Cases)
            if (condition.IsTrue(scope)) return then.Execute(scope);
        return Else?.Execute(scope) ?? ControlFlow.Next;
    }
}

internal sealed record LoopControlNode(ControlFlow To) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope) => To;
}

/// <summary>{% set a = x %}, {% set a, b = x %}, {% set ns.a = x %}, or what the block prints.</summary>
internal sealed record SetNode(IReadOnlyList<string> Names, string? Field, TemplateExpression? Content, TemplateBody? CapturedBody, IReadOnlyList<(string Name, CallArgumentList Arguments)> Filters) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        object? value = Content?.Evaluate(scope);
        if (CapturedBody is not null)
        {
            using StringWriter text = new();
            CapturedBody.Execute(scope.CreateChild(text));
            value = text.ToString();
            foreach (var (name, arguments) in Filters) value = Chat.TemplateFilters.Apply(name, value, arguments.EvaluatePositional(scope), arguments.EvaluateKeywords(scope), scope.Budget);
        }
        if (Field is not null)
        {
            if (scope.Get(Names[0]) is not NamespaceValue space) throw new ChatTemplateException($"'{Names[0]}' is no namespace, so its '{Field}' cannot be set");
            space.Fields[Field] = value;
        }
        else Unpack(Names, value, scope);
        return ControlFlow.Next;
    }

    public static void Unpack(IReadOnlyList<string> names, object? value, TemplateScope scope)
    {
        if (names.Count == 1)
        {
            scope.Set(names[0], value);
            return;
        }
        List<object?> items = TemplateValues.Items(value);
        if (items.Count != names.Count) throw new ChatTemplateException($"{items.Count} values cannot be given to {names.Count} names");
        for (int i = 0; i < names.Count; i++) scope.Set(names[i], items[i]);
    }
}

internal sealed record ForNode(IReadOnlyList<string> Names, TemplateExpression Items, TemplateExpression? Condition, TemplateBody Body, TemplateBody? Else) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        object? all = Items.Evaluate(scope);
        scope.Budget.CountRead(all);
        List<object?> items = [.. TemplateValues.Items(all)];
        if (Condition is not null)
        {
            items.RemoveAll(item =>
            {
                TemplateScope round = scope.CreateChild();
                SetNode.Unpack(Names, item, round);
                return !Condition.IsTrue(round);
            });
        }
        if (items.Count == 0) return Else?.Execute(scope) ?? ControlFlow.Next;
        for (int i = 0; i < items.Count; i++)
        {
            scope.Budget.CountStep();
            TemplateScope round = scope.CreateChild();
            SetNode.Unpack(Names, items[i], round);
            round.Set("loop", CreateLoopVariable(items, i));
            if (Body.Execute(round) == ControlFlow.Break) break;
        }
        return ControlFlow.Next;
    }

    private static Dictionary<string, object?> CreateLoopVariable(List<object?> items, int at) => new(StringComparer.Ordinal)
    {
        ["index"] = at + 1L, ["index0"] = (long)at, ["first"] = at == 0, ["last"] = at == items.Count - 1, ["length"] = (long)items.Count,
        ["revindex"] = (long)(items.Count - at), ["revindex0"] = items.Count - at - 1L,
        ["previtem"] = at > 0 ? items[at - 1] : new UndefinedValue("previtem"), ["nextitem"] = at + 1 < items.Count ? items[at + 1] : new UndefinedValue("nextitem"),
        ["cycle"] = (TemplateFunction)((a, _) => a.Count > 0 ? a[at % a.Count] : throw new ChatTemplateException("cycle needs values")),
    };
}
